/* The sidecar's place on the socket, taken by a script: bytes that say what it does next, from the service of
 * a good sidecar to any frame. Knows HTTP/2 and the contract; reads no more of the library than its bytes. */
#ifndef LAMBDA_UDF_FUZZ_PEER_H
#define LAMBDA_UDF_FUZZ_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PEER_CALLS_MAX 8
#define PEER_CONNECTION_REQUESTS_MAX 1024

/* A call that the library makes, in the eyes of the other side. */
struct peer_call {
  const uint8_t *payload;
  size_t payload_length;
  bool repeatable;   /* it has the name of a durable execution */
  size_t result_max; /* its answer may come in parts, of so many bytes; 0: it may not */
  uint64_t number;   /* of its request that came last, on its connection */
  int came;          /* how often its request came whole */
  int disclaimed;    /* of them, those of which the other side said that it had not looked at them */
  const bool *good;  /* whether the connection on which it came last has seen only what a good sidecar does */
};

void peer_start(const uint8_t *script, size_t length, struct peer_call *calls, int call_count);

/* How many requests came whole on that descriptor's connection, and which call the request of that number
 * (1, 2, …) was. */
uint64_t peer_requests(int fd);
struct peer_call *peer_request(int fd, uint64_t number);

/* Whether the other side has done nothing but what a good sidecar does: on that descriptor's connection, and
 * on all of them. */
bool peer_connection_is_good(int fd);
bool peer_is_good(void);

/* When the session was killed or its client went; 0: not at all. */
int64_t peer_killed_us(void);
int64_t peer_client_went_us(void);
/* Acts that often at most, though nobody waits. */
void peer_acts_between(int times);
uint8_t peer_script_byte(void);

#endif
