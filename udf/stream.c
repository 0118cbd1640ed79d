/* One gRPC stream on nghttp2: its callbacks, and the bytes in and out.
 * The only file that knows nghttp2; must not know where the bytes go. Uses no call newer than nghttp2 1.43.
 */
#include "stream.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <string.h>

#include "decimal.h"

#define METHOD_PATH "/lambda_udf.v1.LambdaInvoker/Invoke"
/* Without the release number: `lambda-sidecar install` replaces the library when its bytes differ,
 * and they differ only when the library does. */
#define USER_AGENT "lambda-udf"
/* Wide enough for the largest answer to come without a stall. */
#define WINDOW (8 * 1024 * 1024)
/* HEADERS with :status 1xx before the response's own (RFC 9113, section 8.1); more is a peer that plays. */
#define INFORMATIONAL_MAX 16

static const char not_grpc[] = "what listens there does not speak gRPC";

/* The first reason is the cause; what follows from it does not overwrite it. */
static void give_reason(struct stream *stream, const char *what, const char *detail) {
  if (stream->reason[0] != '\0') return;
  (void)snprintf(stream->reason, sizeof stream->reason, "%s%s%s", what, detail[0] ? ": " : "", detail);
}

void stream_break(struct stream *stream, const char *what, const char *detail) {
  give_reason(stream, what, detail);
  stream->broken = true;
}

/* ---- nghttp2's callbacks ---- */

static ssize_t read_outbox(nghttp2_session *session, int32_t stream_id, uint8_t *buffer, size_t length,
                           uint32_t *data_flags, nghttp2_data_source *source, void *user_data) {
  struct stream *stream = user_data;
  size_t have = 0;
  (void)session, (void)stream_id, (void)data_flags, (void)source;
  for (int i = 0; i < STREAM_PARTS && have < length; i++) {
    struct stream_part *part = &stream->outbox[i];
    size_t step = part->length < length - have ? part->length : length - have;
    if (step == 0) continue;
    memcpy(buffer + have, part->bytes, step);
    part->bytes += step;
    part->length -= step;
    have += step;
  }
  return have == 0 ? NGHTTP2_ERR_DEFERRED : (ssize_t)have;
}

static bool is(const uint8_t *value, size_t length, const char *text) {
  return length == strlen(text) && memcmp(value, text, length) == 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_length, const uint8_t *value, size_t value_length, uint8_t flags,
                     void *user_data) {
  static const char grpc[] = "application/grpc";
  struct stream *stream = user_data;
  (void)session, (void)flags;
  /* A PUSH_PROMISE carries our stream's number too. */
  if (frame->hd.type != NGHTTP2_HEADERS || frame->hd.stream_id != stream->id) return 0;
  /* Pseudo-headers come first (RFC 9113, section 8.3); the other fields of a 1xx mean nothing here. */
  if (is(name, name_length, ":status")) {
    stream->http_ok = is(value, value_length, "200");
    stream->informational = value_length == 3 && value[0] == '1';
  } else if (stream->informational)
    return 0;
  else if (is(name, name_length, "content-type"))
    stream->grpc_content = value_length >= strlen(grpc) && memcmp(value, grpc, strlen(grpc)) == 0;
  else if (is(name, name_length, "grpc-status"))
    stream->status = grpc_status_parse(value, value_length);
  else if (is(name, name_length, "grpc-message"))
    grpc_percent_decode(value, value_length, stream->status_message, sizeof stream->status_message);
  else if (is(name, name_length, "lambda-udf-last-call-id"))
    stream->has_last_call_id = decimal_parse((const char *)value, value_length, &stream->last_call_id);
  return 0;
}

/* No more comes on the stream. */
static void hear_end(struct stream *stream, uint32_t error_code) {
  char what[64];
  stream->ended = true;
  if (stream->status == GRPC_STATUS_MISSING)
    (void)snprintf(what, sizeof what, "the stream ended without a status (HTTP/2 error %u)", error_code);
  else if (stream->status == GRPC_STATUS_UNAVAILABLE)
    (void)snprintf(what, sizeof what, "the sidecar is stopping");
  else
    (void)snprintf(what, sizeof what, "the sidecar ended the stream with gRPC status %d",
                   (int)stream->status);
  give_reason(stream, what, stream->status_message);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data) {
  struct stream *stream = user_data;
  bool last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  (void)session;
  if (frame->hd.type == NGHTTP2_GOAWAY) stream->going_away = true;
  if (frame->hd.stream_id != stream->id) return 0;
  if (frame->hd.type == NGHTTP2_HEADERS && stream->informational) {
    stream->informational = false; /* of the next block */
    if (++stream->informationals > INFORMATIONAL_MAX)
      stream_break(stream, "too many informational responses", "");
    return 0; /* nghttp2 refuses one that ends the stream */
  }
  if (frame->hd.type == NGHTTP2_HEADERS) {
    if (!stream->http_ok || !stream->grpc_content)
      stream_break(stream, not_grpc, "");
    else if (!last)
      stream->answered = true;
  }
  /* Our half stays open, so nghttp2 calls the stream closed only once the peer resets it as well. */
  if (last && (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA))
    hear_end(stream, NGHTTP2_NO_ERROR);
  return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
                   size_t length, void *user_data) {
  static const char *const complaints[] = {
      [GRPC_READ_COMPRESSED] = "a compressed message, though none was asked for",
      [GRPC_READ_TOO_LONG] = "a message over the size limit",
      [GRPC_READ_TOO_MANY] = "an answer to nothing",
      [GRPC_READ_NO_MEMORY] = "no memory for the answer",
  };
  struct stream *stream = user_data;
  (void)session, (void)flags;
  if (stream_id != stream->id || stream->broken) return 0;
  enum grpc_read read = grpc_reader_feed(&stream->reader, data, length);
  if (read == GRPC_READ_OK) return 0;
  stream_break(stream, "malformed answer", complaints[read]);
  return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code,
                           void *user_data) {
  struct stream *stream = user_data;
  (void)session;
  if (stream_id == stream->id) hear_end(stream, error_code);
  return 0;
}

/* ---- the beginning and the end ---- */

static bool start_session(struct stream *stream) {
  nghttp2_session_callbacks *callbacks = NULL;
  if (nghttp2_session_callbacks_new(&callbacks) != 0) return false;
  nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
  int failed = nghttp2_session_client_new(&stream->session, callbacks, stream);
  nghttp2_session_callbacks_del(callbacks);
  return failed == 0;
}

#define HEADER(field, text)                                                               \
  {                                                                                       \
    .name = (uint8_t *)(field), .value = (uint8_t *)(text), .namelen = sizeof(field) - 1, \
    .valuelen = sizeof(text) - 1                                                          \
  }

/* Queues the preface, our settings and the request's headers. */
static bool submit_request(struct stream *stream) {
  static const nghttp2_settings_entry settings[] = {
      {.settings_id = NGHTTP2_SETTINGS_ENABLE_PUSH, .value = 0},
      {.settings_id = NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, .value = WINDOW},
  };
  static const nghttp2_nv headers[] = {
      HEADER(":method", "POST"),
      HEADER(":scheme", "http"),
      HEADER(":path", METHOD_PATH),
      HEADER(":authority", "localhost"), /* gRPC servers refuse a socket's path here */
      HEADER("te", "trailers"),
      HEADER("content-type", "application/grpc+proto"),
      HEADER("user-agent", USER_AGENT),
  };
  nghttp2_data_provider provider = {.read_callback = read_outbox};
  if (nghttp2_submit_settings(stream->session, NGHTTP2_FLAG_NONE, settings,
                              sizeof settings / sizeof settings[0]) != 0)
    return false;
  if (nghttp2_session_set_local_window_size(stream->session, NGHTTP2_FLAG_NONE, 0, WINDOW) != 0) return false;
  stream->id = nghttp2_submit_request(stream->session, NULL, headers, sizeof headers / sizeof headers[0],
                                      &provider, NULL);
  return stream->id > 0;
}

bool stream_start(struct stream *stream, size_t message_max) {
  stream->status = GRPC_STATUS_MISSING;
  grpc_reader_start(&stream->reader, message_max, 0);
  return start_session(stream) && submit_request(stream);
}

void stream_end(struct stream *stream) {
  nghttp2_session_del(stream->session);
  stream->session = NULL;
  grpc_reader_end(&stream->reader);
}

bool stream_cancel(struct stream *stream) {
  return stream->session != NULL && stream->id > 0 && !stream->ended && !stream->broken &&
         nghttp2_submit_rst_stream(stream->session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL) == 0;
}

/* ---- messages out ---- */

bool stream_put_message(struct stream *stream, const uint8_t *head, size_t head_length, const uint8_t *body,
                        size_t body_length) {
  if (head_length + body_length > UINT32_MAX) {
    stream_break(stream, "message too long", "");
    return false;
  }
  grpc_prefix_write(stream->prefix, (uint32_t)(head_length + body_length));
  stream->outbox[0] = (struct stream_part){.bytes = stream->prefix, .length = sizeof stream->prefix};
  stream->outbox[1] = (struct stream_part){.bytes = head, .length = head_length};
  stream->outbox[2] = (struct stream_part){.bytes = body, .length = body_length};
  /* It fails only where the stream waits for no data, that is, where it will be asked anyway. */
  (void)nghttp2_session_resume_data(stream->session, stream->id);
  return true;
}

bool stream_message_is_read(const struct stream *stream) {
  size_t left = 0;
  for (int i = 0; i < STREAM_PARTS; i++) left += stream->outbox[i].length;
  return left == 0;
}

void stream_drop_message(struct stream *stream) { memset(stream->outbox, 0, sizeof stream->outbox); }

/* ---- bytes ---- */

size_t stream_next_bytes(struct stream *stream, const uint8_t **bytes) {
  ssize_t length = nghttp2_session_mem_send(stream->session, bytes);
  if (length > 0) return (size_t)length;
  if (length < 0) stream_break(stream, "HTTP/2", nghttp2_strerror((int)length));
  /* After a violation of HTTP/2 nghttp2 says GOAWAY, reads no more, and expects to be dropped. */
  else if (nghttp2_session_want_read(stream->session) == 0)
    stream_break(stream, stream->answered ? "malformed HTTP/2" : not_grpc, "");
  return 0;
}

void stream_take_bytes(struct stream *stream, const uint8_t *bytes, size_t length) {
  ssize_t taken = nghttp2_session_mem_recv(stream->session, bytes, length);
  if (taken < 0) stream_break(stream, "not HTTP/2", nghttp2_strerror((int)taken));
}
