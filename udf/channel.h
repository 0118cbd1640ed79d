/* A channel: one Unix-socket connection carrying one long-lived bidirectional gRPC stream, driven by
 * the thread that uses it. Knows sockets and streams; not what the messages mean, not mysqld.
 *
 * Not thread-safe: one thread at a time owns a channel. Nothing here blocks beyond its wait. */
#ifndef LAMBDA_UDF_CHANNEL_H
#define LAMBDA_UDF_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "grpc_wire.h"
#include "quotas.h"
#include "waiting.h"

/* Bytes of the longest message that is received. */
#define CHANNEL_MESSAGE_MAX (QUOTA_RESPONSE_MAX + QUOTA_BESIDE_RESPONSE_MAX)

struct channel;

/* Connects and opens the stream: done when the sidecar's headers have arrived, so every message sent
 * later is one that a live handler will count. On WAIT_OK *out is the caller's.
 * Otherwise *reason (size bytes) says why; *again: trying again may help (nothing was sent). */
enum wait_result channel_open(const char *path, const struct wait *wait, struct channel **out, char *reason,
                              size_t size, bool *again);

/* Sends one message, the concatenation of head and body, which must stay valid during the call. It holds so
 * many requests, each of which is owed an answer. WAIT_OK: the kernel has all of it. */
enum wait_result channel_send(struct channel *channel, size_t requests, const uint8_t *head,
                              size_t head_length, const uint8_t *body, size_t body_length,
                              const struct wait *wait);

/* A message that was received held so many answers beside the one. False: so many are not owed. */
bool channel_answered_more(struct channel *channel, size_t answers);

/* Whether the answer to what was sent last may come in parts: in more messages than one. */
void channel_expect_parts(struct channel *channel, bool parts);
/* The message that was received is a part, and the answer is owed still. False: none is expected. */
bool channel_owes_part(struct channel *channel);

/* Waits for one message; *message is the caller's (free()). */
enum wait_result channel_receive(struct channel *channel, const struct wait *wait,
                                 struct grpc_message **message);

/* As channel_receive(), but without waiting: *message is NULL if none has come whole. What came before a loss
 * is given before WAIT_LOST. */
enum wait_result channel_look(struct channel *channel, struct grpc_message **message);

/* After WAIT_LOST: whether the request with this number (1, 2, 3 … as sent) was provably never
 * looked at by the sidecar: it had not left whole, or the sidecar says so in its trailers. */
bool channel_never_taken(const struct channel *channel, uint64_t call_id);

/* Looks, without waiting, whether an idle channel is still good for a call. */
bool channel_is_usable(struct channel *channel);

/* How many requests were begun on it; the next one has this + 1. */
uint64_t channel_sent(const struct channel *channel);

/* Why the channel was lost; never NULL. */
const char *channel_reason(const struct channel *channel);

/* Resets the stream, which cancels what runs on it, closes the connection, frees all. NULL is fine. */
void channel_close(struct channel *channel);

#endif
