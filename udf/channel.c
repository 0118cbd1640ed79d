/* One gRPC stream on one Unix socket, on nghttp2, without threads.
 * The only file that knows nghttp2; must not know what the messages mean. Uses no call newer than
 * nghttp2 1.43. */
#include "channel.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "counters.h"
#include "decimal.h"
#include "unix_socket.h"

#define METHOD_PATH "/lambda_udf.v1.LambdaInvoker/Invoke"
/* Without the release number: `lambda-sidecar install` replaces the library when its bytes differ,
 * and they differ only when the library does. */
#define USER_AGENT "lambda-udf"
/* Wide enough for the largest answer to come without a stall. */
#define WINDOW (8 * 1024 * 1024)
#define RECEIVE_SIZE 16384
/* Reads between two looks at what else may end the wait: 256 KB, more than a Unix socket holds
 * (wmem_default). */
#define READS_MAX 16
/* And milliseconds: a peer can make 256 KB of header fields cost a third of a second. */
#define READS_MS 5
/* HEADERS with :status 1xx before the response's own (RFC 9113, section 8.1); more is a peer that plays. */
#define INFORMATIONAL_MAX 16
/* An idle channel has at most a few frames to read; more is a peer that floods. */
#define IDLE_READS_MAX 16
#define OUTBOX_PARTS 3

static const char not_grpc[] = "what listens there does not speak gRPC";

struct part {
  const uint8_t *bytes;
  size_t length;
};

struct channel {
  int fd;
  nghttp2_session *session;
  int32_t stream_id;

  uint8_t prefix[GRPC_PREFIX_SIZE];
  struct part outbox[OUTBOX_PARTS]; /* what nghttp2 has not read yet of the message being sent */
  const uint8_t *unsent;            /* what the kernel has not taken yet; nghttp2 owns it */
  size_t unsent_length;
  uint64_t begun;      /* requests given to channel_send */
  uint64_t left_whole; /* of them, those of which the kernel has every byte */
  bool write_failed;   /* nothing more can be sent; what the peer has said is still to be read */

  struct grpc_reader reader;
  bool http_ok;       /* :status 200 */
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
  char reason[224];
};

/* The first reason is the cause; what follows from it does not overwrite it. */
static void give_reason(struct channel *channel, const char *what, const char *detail) {
  if (channel->reason[0] != '\0') return;
  (void)snprintf(channel->reason, sizeof channel->reason, "%s%s%s", what, detail[0] ? ": " : "", detail);
}

static void break_channel(struct channel *channel, const char *what, const char *detail) {
  give_reason(channel, what, detail);
  channel->broken = true;
}

/* ---- nghttp2's callbacks ---- */

static ssize_t read_outbox(nghttp2_session *session, int32_t stream_id, uint8_t *buffer, size_t length,
                           uint32_t *data_flags, nghttp2_data_source *source, void *user_data) {
  struct channel *channel = user_data;
  size_t have = 0;
  (void)session, (void)stream_id, (void)data_flags, (void)source;
  for (int i = 0; i < OUTBOX_PARTS && have < length; i++) {
    struct part *part = &channel->outbox[i];
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
  struct channel *channel = user_data;
  (void)session, (void)flags;
  /* A PUSH_PROMISE carries our stream's number too. */
  if (frame->hd.type != NGHTTP2_HEADERS || frame->hd.stream_id != channel->stream_id) return 0;
  /* Pseudo-headers come first (RFC 9113, section 8.3); the other fields of a 1xx mean nothing here. */
  if (is(name, name_length, ":status")) {
    channel->http_ok = is(value, value_length, "200");
    channel->informational = value_length == 3 && value[0] == '1';
  } else if (channel->informational)
    return 0;
  else if (is(name, name_length, "content-type"))
    channel->grpc_content = value_length >= strlen(grpc) && memcmp(value, grpc, strlen(grpc)) == 0;
  else if (is(name, name_length, "grpc-status"))
    channel->status = grpc_status_parse(value, value_length);
  else if (is(name, name_length, "grpc-message"))
    grpc_percent_decode(value, value_length, channel->status_message, sizeof channel->status_message);
  else if (is(name, name_length, "lambda-udf-last-call-id"))
    channel->has_last_call_id = decimal_parse((const char *)value, value_length, &channel->last_call_id);
  return 0;
}

/* No more comes on the stream. */
static void end_stream(struct channel *channel, uint32_t error_code) {
  char what[64];
  channel->ended = true;
  if (channel->status == GRPC_STATUS_MISSING)
    (void)snprintf(what, sizeof what, "the stream ended without a status (HTTP/2 error %u)", error_code);
  else if (channel->status == GRPC_STATUS_UNAVAILABLE)
    (void)snprintf(what, sizeof what, "the sidecar is stopping");
  else
    (void)snprintf(what, sizeof what, "the sidecar ended the stream with gRPC status %d",
                   (int)channel->status);
  give_reason(channel, what, channel->status_message);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data) {
  struct channel *channel = user_data;
  bool last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  (void)session;
  if (frame->hd.type == NGHTTP2_GOAWAY) channel->going_away = true;
  if (frame->hd.stream_id != channel->stream_id) return 0;
  if (frame->hd.type == NGHTTP2_HEADERS && channel->informational) {
    channel->informational = false; /* of the next block */
    if (++channel->informationals > INFORMATIONAL_MAX)
      break_channel(channel, "too many informational responses", "");
    return 0; /* nghttp2 refuses one that ends the stream */
  }
  if (frame->hd.type == NGHTTP2_HEADERS) {
    if (!channel->http_ok || !channel->grpc_content)
      break_channel(channel, not_grpc, "");
    else if (!last)
      channel->answered = true;
  }
  /* Our half stays open, so nghttp2 calls the stream closed only once the peer resets it as well. */
  if (last && (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA))
    end_stream(channel, NGHTTP2_NO_ERROR);
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
  struct channel *channel = user_data;
  (void)session, (void)flags;
  if (stream_id != channel->stream_id || channel->broken) return 0;
  enum grpc_read read = grpc_reader_feed(&channel->reader, data, length);
  if (read == GRPC_READ_OK) return 0;
  break_channel(channel, "malformed answer", complaints[read]);
  return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code,
                           void *user_data) {
  struct channel *channel = user_data;
  (void)session;
  if (stream_id == channel->stream_id) end_stream(channel, error_code);
  return 0;
}

/* ---- bytes in and out ---- */

static bool outbox_is_empty(const struct channel *channel) {
  size_t left = 0;
  for (int i = 0; i < OUTBOX_PARTS; i++) left += channel->outbox[i].length;
  return left == 0;
}

/* To be asked after each byte that leaves: whatever fails later, what has left has left. */
static void note_what_left(struct channel *channel) {
  if (channel->unsent_length == 0 && outbox_is_empty(channel)) channel->left_whole = channel->begun;
}

/* Sends what the kernel takes now. */
static void flush(struct channel *channel) {
  while (!channel->write_failed && !channel->broken) {
    if (channel->unsent_length == 0) {
      ssize_t length = nghttp2_session_mem_send(channel->session, &channel->unsent);
      if (length < 0) {
        break_channel(channel, "HTTP/2", nghttp2_strerror((int)length));
        return;
      }
      if (length == 0) {
        /* After a violation of HTTP/2 nghttp2 says GOAWAY, reads no more, and expects to be dropped. */
        if (nghttp2_session_want_read(channel->session) == 0)
          break_channel(channel, channel->answered ? "malformed HTTP/2" : not_grpc, "");
        return;
      }
      channel->unsent_length = (size_t)length;
    }
    ssize_t sent = send(channel->fd, channel->unsent, channel->unsent_length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      channel->unsent += sent;
      channel->unsent_length -= (size_t)sent;
      note_what_left(channel);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return;
    } else if (errno != EINTR) {
      channel->write_failed = true;
      return;
    }
  }
}

/* Reads once and lets nghttp2 have it. The number of bytes; 0: there was nothing to read. */
static size_t receive(struct channel *channel) {
  uint8_t bytes[RECEIVE_SIZE];
  ssize_t length;
  do length = recv(channel->fd, bytes, sizeof bytes, MSG_DONTWAIT);
  while (length < 0 && errno == EINTR);
  if (length < 0) {
    if (errno != EAGAIN && errno != EWOULDBLOCK)
      break_channel(channel, "the connection was lost", strerrordesc_np(errno));
    return 0;
  }
  if (length == 0) {
    break_channel(channel, "the sidecar closed the connection", "");
    return 0;
  }
  ssize_t taken = nghttp2_session_mem_recv(channel->session, bytes, (size_t)length);
  if (taken < 0) break_channel(channel, "not HTTP/2", nghttp2_strerror((int)taken));
  return (size_t)length;
}

typedef bool (*channel_is)(const struct channel *channel);

/* Reads on while each read fills the buffer, for then more is likely to be there: but not for so long that a
 * KILL or the deadline, which wait_ready() looks at, goes unseen. */
static void receive_run(struct channel *channel, channel_is done) {
  int64_t until_ms = wait_clock_ms() + READS_MS;
  for (int i = 0; i < READS_MAX && receive(channel) == RECEIVE_SIZE; i++) {
    if (done(channel) || channel->broken || channel->ended || wait_clock_ms() >= until_ms) return;
    flush(channel); /* what nghttp2 has to say to it does not pile up */
  }
}

/* Moves bytes both ways until done, or until no more can come. */
static enum wait_result pump(struct channel *channel, const struct wait *wait, channel_is done) {
  for (;;) {
    flush(channel);
    if (done(channel)) return WAIT_OK;
    if (channel->broken || channel->ended) return WAIT_LOST;
    short events = POLLIN;
    if (channel->unsent_length > 0 && !channel->write_failed) events |= POLLOUT;
    enum wait_result result = wait_ready(channel->fd, events, wait);
    if (result != WAIT_OK && result != WAIT_ABANDONED) return result;
    receive_run(channel, done);
    /* What was already there counts, though nobody waits for it any more. */
    if (result == WAIT_ABANDONED) return done(channel) ? WAIT_OK : WAIT_ABANDONED;
  }
}

static bool is_answered(const struct channel *channel) {
  return channel->answered && !channel->broken && !channel->ended;
}

static bool is_sent(const struct channel *channel) { return channel->left_whole == channel->begun; }

static bool has_message(const struct channel *channel) { return channel->reader.first != NULL; }

/* ---- opening and closing ---- */

static bool start_session(struct channel *channel) {
  nghttp2_session_callbacks *callbacks = NULL;
  if (nghttp2_session_callbacks_new(&callbacks) != 0) return false;
  nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
  int failed = nghttp2_session_client_new(&channel->session, callbacks, channel);
  nghttp2_session_callbacks_del(callbacks);
  return failed == 0;
}

#define HEADER(field, text)                                                               \
  {                                                                                       \
    .name = (uint8_t *)(field), .value = (uint8_t *)(text), .namelen = sizeof(field) - 1, \
    .valuelen = sizeof(text) - 1                                                          \
  }

/* Queues the preface, our settings and the request's headers. */
static bool start_stream(struct channel *channel) {
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
  if (nghttp2_submit_settings(channel->session, NGHTTP2_FLAG_NONE, settings,
                              sizeof settings / sizeof settings[0]) != 0)
    return false;
  if (nghttp2_session_set_local_window_size(channel->session, NGHTTP2_FLAG_NONE, 0, WINDOW) != 0)
    return false;
  channel->stream_id = nghttp2_submit_request(channel->session, NULL, headers,
                                              sizeof headers / sizeof headers[0], &provider, NULL);
  return channel->stream_id > 0;
}

/* A channel on the socket, which is the channel's from now on, with its stream begun. NULL: no memory. */
static struct channel *start_channel(int fd) {
  struct channel *channel = calloc(1, sizeof *channel);
  if (channel == NULL) {
    close(fd);
    return NULL;
  }
  counter_add(COUNTER_CONNECTIONS, 1);
  counter_add(COUNTER_CONNECTIONS_OPENED, 1);
  channel->fd = fd;
  channel->status = GRPC_STATUS_MISSING;
  grpc_reader_start(&channel->reader, CHANNEL_MESSAGE_MAX, 0);
  if (start_session(channel) && start_stream(channel)) return channel;
  channel_close(channel);
  return NULL;
}

/* A sidecar that is just stopping closes, says UNAVAILABLE or, in its last moment, CANCELLED; another status
 * is no passing state. */
static bool is_passing(enum grpc_status status) {
  return status == GRPC_STATUS_MISSING || status == GRPC_STATUS_UNAVAILABLE ||
         status == GRPC_STATUS_CANCELLED;
}

enum wait_result channel_open(const char *path, const struct wait *wait, struct channel **out, char *reason,
                              size_t size, bool *again) {
  int fd = unix_socket_connect(path);
  *again = fd < 0 && (errno == ENOENT || errno == ECONNREFUSED || errno == EAGAIN);
  if (fd < 0) {
    (void)snprintf(reason, size, "%s", strerrordesc_np(errno));
    return WAIT_LOST;
  }
  struct channel *channel = start_channel(fd);
  if (channel == NULL) {
    (void)snprintf(reason, size, "no memory");
    return WAIT_LOST;
  }
  enum wait_result result = pump(channel, wait, is_answered);
  if (result == WAIT_OK) {
    *out = channel;
    return WAIT_OK;
  }
  (void)snprintf(reason, size, "%s",
                 result == WAIT_LOST ? channel->reason : "it accepts the connection but does not answer");
  *again = result == WAIT_LOST && is_passing(channel->status);
  channel_close(channel);
  return result;
}

void channel_close(struct channel *channel) {
  if (channel == NULL) return;
  if (channel->session != NULL && channel->stream_id > 0 && !channel->ended && !channel->broken &&
      nghttp2_submit_rst_stream(channel->session, NGHTTP2_FLAG_NONE, channel->stream_id, NGHTTP2_CANCEL) == 0)
    flush(channel);
  nghttp2_session_del(channel->session);
  close(channel->fd);
  counter_add(COUNTER_CONNECTIONS, -1);
  grpc_reader_end(&channel->reader);
  free(channel);
}

/* ---- messages ---- */

enum wait_result channel_send(struct channel *channel, size_t requests, const uint8_t *head,
                              size_t head_length, const uint8_t *body, size_t body_length,
                              const struct wait *wait) {
  if (head_length + body_length > UINT32_MAX) {
    break_channel(channel, "message too long", "");
    return WAIT_LOST;
  }
  grpc_prefix_write(channel->prefix, (uint32_t)(head_length + body_length));
  channel->outbox[0] = (struct part){.bytes = channel->prefix, .length = sizeof channel->prefix};
  channel->outbox[1] = (struct part){.bytes = head, .length = head_length};
  channel->outbox[2] = (struct part){.bytes = body, .length = body_length};
  channel->begun += requests;
  channel->reader.max_queued += requests; /* so many more answers are owed */
  /* It fails only where the stream waits for no data, that is, where it will be asked anyway. */
  (void)nghttp2_session_resume_data(channel->session, channel->stream_id);
  enum wait_result result = pump(channel, wait, is_sent);
  /* head and body are the caller's: nothing may be read from them after this call. */
  memset(channel->outbox, 0, sizeof channel->outbox);
  if (result != WAIT_OK) give_reason(channel, "the request was not sent whole", "");
  if (result != WAIT_OK) channel->broken = true;
  return result;
}

bool channel_answered_more(struct channel *channel, size_t answers) {
  if (answers > channel->reader.max_queued) return false;
  channel->reader.max_queued -= answers;
  return true;
}

static struct grpc_message *take_message(struct channel *channel) {
  channel->reader.max_queued--;
  return grpc_reader_take(&channel->reader);
}

enum wait_result channel_receive(struct channel *channel, const struct wait *wait,
                                 struct grpc_message **message) {
  enum wait_result result = pump(channel, wait, has_message);
  if (result == WAIT_OK) *message = take_message(channel);
  return result;
}

enum wait_result channel_look(struct channel *channel, struct grpc_message **message) {
  if (!has_message(channel)) {
    receive_run(channel, has_message);
    flush(channel);
  }
  *message = has_message(channel) ? take_message(channel) : NULL;
  return *message == NULL && (channel->broken || channel->ended) ? WAIT_LOST : WAIT_OK;
}

bool channel_never_taken(const struct channel *channel, uint64_t call_id) {
  if (call_id > channel->left_whole) return true;
  return channel->status == GRPC_STATUS_UNAVAILABLE && channel->has_last_call_id &&
         call_id > channel->last_call_id;
}

bool channel_is_usable(struct channel *channel) {
  flush(channel);
  for (int i = 0; i < IDLE_READS_MAX && !channel->broken && receive(channel) > 0; i++) flush(channel);
  return !channel->broken && !channel->ended && !channel->going_away && !channel->write_failed &&
         channel->reader.queued == 0 && channel->reader.prefix_have == 0;
}

uint64_t channel_sent(const struct channel *channel) { return channel->begun; }

const char *channel_reason(const struct channel *channel) {
  return channel->reason[0] != '\0' ? channel->reason : "the connection was lost";
}
