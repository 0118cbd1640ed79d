/* One gRPC stream on HTTP/2, without input or output: bytes come in, bytes go out, and what was heard stays
 * in the struct. Knows HTTP/2 (nghttp2) and gRPC; not sockets, nor what the messages mean. channel.c's alone.
 */
#ifndef LAMBDA_UDF_STREAM_H
#define LAMBDA_UDF_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "grpc_wire.h"

struct nghttp2_session;

struct stream_part {
  const uint8_t *bytes;
  size_t length;
};

/* A prefix, and the two parts of the message behind it. */
#define STREAM_PARTS 3

/* Must not move once it has been started. */
struct stream {
  struct nghttp2_session *session;
  int32_t id;
  uint8_t prefix[GRPC_PREFIX_SIZE];
  struct stream_part outbox[STREAM_PARTS]; /* what nghttp2 has not read yet of the message being sent */

  /* What was heard. */
  struct grpc_reader reader; /* messages */
  bool http_ok;              /* :status 200 */
  bool informational; /* the headers that are being read have :status 1xx: only another block is the answer */
  int informationals; /* such blocks so far */
  bool grpc_content;  /* content-type application/grpc… */
  bool answered;      /* the response's headers have come: a handler lives */
  bool ended;         /* the stream is closed */
  bool broken;        /* the connection is closed or unusable */
  bool going_away;    /* GOAWAY: finish, but begin nothing */
  enum grpc_status status;
  char status_message[128];
  bool has_last_call_id;
  uint64_t last_call_id;
  char reason[224]; /* why it is ended or broken; empty as long as it lives */
};

/* Begins the stream, which is zero: the preface, our settings and the request's headers are to be sent. A
 * message that comes may have so many bytes. False: no memory; stream_end() is due all the same. */
bool stream_start(struct stream *stream, size_t message_max);
/* Frees what it holds; fine for one that is zero. */
void stream_end(struct stream *stream);

/* A message to be sent, the concatenation of head and body, both the caller's, which must stay valid until
 * stream_drop_message(). False: it is too long, and the stream is broken. */
bool stream_put_message(struct stream *stream, const uint8_t *head, size_t head_length, const uint8_t *body,
                        size_t body_length);
/* Whether all of it has become bytes. */
bool stream_message_is_read(const struct stream *stream);
/* Nothing is read from the message any more. */
void stream_drop_message(struct stream *stream);

/* The next bytes to be sent, nghttp2's, valid until the next call. Their number; 0: there are none now, or
 * the stream is broken. */
size_t stream_next_bytes(struct stream *stream, const uint8_t **bytes);

/* Bytes that have come. */
void stream_take_bytes(struct stream *stream, const uint8_t *bytes, size_t length);

/* Resets the stream, if it lives: there are bytes to be sent then. */
bool stream_cancel(struct stream *stream);

/* The connection is closed or unusable: nothing more is said or heard. detail may be empty. */
void stream_break(struct stream *stream, const char *what, const char *detail);

#endif
