/* A stream's bytes on one Unix socket, and the waits for them, without threads.
 * Must not know how HTTP/2 is spoken, nor what the messages mean. */
#include "channel.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "counters.h"
#include "stream.h"
#include "unix_socket.h"

#define RECEIVE_SIZE 16384
/* Parts of an answer that may lie here unread: those of one read, be they as short as they can. */
#define PARTS_MAX (RECEIVE_SIZE / GRPC_PREFIX_SIZE + 1)
/* Reads between two looks at what else may end the wait: 256 KB, more than a Unix socket holds
 * (wmem_default). */
#define READS_MAX 16
/* And milliseconds: a peer can make 256 KB of header fields cost a third of a second. */
#define READS_MS 5
/* An idle channel has at most a few frames to read; more is a peer that floods. */
#define IDLE_READS_MAX 16

struct channel {
  int fd;
  struct stream stream;
  const uint8_t *unsent; /* what the kernel has not taken yet of the stream's bytes */
  size_t unsent_length;
  uint64_t begun;      /* requests given to channel_send */
  uint64_t left_whole; /* of them, those of which the kernel has every byte */
  bool expects_parts;  /* of an answer */
  bool write_failed;   /* nothing more can be sent; what the peer has said is still to be read */
};

static bool is_over(const struct channel *channel) { return channel->stream.broken || channel->stream.ended; }

/* ---- bytes in and out ---- */

/* To be asked after each byte that leaves: whatever fails later, what has left has left. */
static void note_what_left(struct channel *channel) {
  if (channel->unsent_length == 0 && stream_message_is_read(&channel->stream))
    channel->left_whole = channel->begun;
}

/* Sends what the kernel takes now. */
static void flush(struct channel *channel) {
  while (!channel->write_failed && !channel->stream.broken) {
    if (channel->unsent_length == 0) {
      channel->unsent_length = stream_next_bytes(&channel->stream, &channel->unsent);
      if (channel->unsent_length == 0) return;
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

/* Reads once and lets the stream have it. The number of bytes; 0: there was nothing to read. */
static size_t receive(struct channel *channel) {
  uint8_t bytes[RECEIVE_SIZE];
  ssize_t length;
  do length = recv(channel->fd, bytes, sizeof bytes, MSG_DONTWAIT);
  while (length < 0 && errno == EINTR);
  if (length < 0) {
    if (errno != EAGAIN && errno != EWOULDBLOCK)
      stream_break(&channel->stream, "the connection was lost", strerrordesc_np(errno));
    return 0;
  }
  if (length == 0) {
    stream_break(&channel->stream, "the sidecar closed the connection", "");
    return 0;
  }
  stream_take_bytes(&channel->stream, bytes, (size_t)length);
  return (size_t)length;
}

typedef bool (*channel_is)(const struct channel *channel);

/* Reads on while each read fills the buffer, for then more is likely to be there: but not for so long that a
 * KILL or the deadline, which wait_ready() looks at, goes unseen. */
static void receive_run(struct channel *channel, channel_is done) {
  int64_t until_ms = wait_clock_ms() + READS_MS;
  for (int i = 0; i < READS_MAX && receive(channel) == RECEIVE_SIZE; i++) {
    if (done(channel) || is_over(channel) || wait_clock_ms() >= until_ms) return;
    flush(channel); /* what the stream has to say to it does not pile up */
  }
}

/* Moves bytes both ways until done, or until no more can come. */
static enum wait_result pump(struct channel *channel, const struct wait *wait, channel_is done) {
  for (;;) {
    flush(channel);
    if (done(channel)) return WAIT_OK;
    if (is_over(channel)) return WAIT_LOST;
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
  return channel->stream.answered && !is_over(channel);
}

static bool is_sent(const struct channel *channel) { return channel->left_whole == channel->begun; }

static bool has_message(const struct channel *channel) { return channel->stream.reader.first != NULL; }

/* ---- opening and closing ---- */

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
  if (stream_start(&channel->stream, CHANNEL_MESSAGE_MAX)) return channel;
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
  (void)snprintf(
      reason, size, "%s",
      result == WAIT_LOST ? channel->stream.reason : "it accepts the connection but does not answer");
  *again = result == WAIT_LOST && is_passing(channel->stream.status);
  channel_close(channel);
  return result;
}

void channel_close(struct channel *channel) {
  if (channel == NULL) return;
  if (stream_cancel(&channel->stream)) flush(channel);
  stream_end(&channel->stream);
  close(channel->fd);
  counter_add(COUNTER_CONNECTIONS, -1);
  free(channel);
}

/* ---- messages ---- */

enum wait_result channel_send(struct channel *channel, size_t requests, const uint8_t *head,
                              size_t head_length, const uint8_t *body, size_t body_length,
                              const struct wait *wait) {
  if (!stream_put_message(&channel->stream, head, head_length, body, body_length)) return WAIT_LOST;
  channel->begun += requests;
  channel->stream.reader.max_queued += requests; /* so many more answers are owed */
  enum wait_result result = pump(channel, wait, is_sent);
  /* head and body are the caller's: nothing may be read from them after this call. */
  stream_drop_message(&channel->stream);
  if (result != WAIT_OK) stream_break(&channel->stream, "the request was not sent whole", "");
  return result;
}

bool channel_answered_more(struct channel *channel, size_t answers) {
  if (answers > channel->stream.reader.max_queued) return false;
  channel->stream.reader.max_queued -= answers;
  return true;
}

void channel_expect_parts(struct channel *channel, bool parts) {
  struct grpc_reader *reader = &channel->stream.reader;
  if (parts == channel->expects_parts) return;
  channel->expects_parts = parts;
  if (parts)
    reader->max_queued += PARTS_MAX;
  else
    reader->max_queued -= PARTS_MAX;
}

bool channel_owes_part(struct channel *channel) {
  if (channel->expects_parts) channel->stream.reader.max_queued++;
  return channel->expects_parts;
}

static struct grpc_message *take_message(struct channel *channel) {
  channel->stream.reader.max_queued--;
  return grpc_reader_take(&channel->stream.reader);
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
  return *message == NULL && is_over(channel) ? WAIT_LOST : WAIT_OK;
}

bool channel_never_taken(const struct channel *channel, uint64_t call_id) {
  if (call_id > channel->left_whole) return true;
  return channel->stream.status == GRPC_STATUS_UNAVAILABLE && channel->stream.has_last_call_id &&
         call_id > channel->stream.last_call_id;
}

bool channel_is_usable(struct channel *channel) {
  flush(channel);
  for (int i = 0; i < IDLE_READS_MAX && !channel->stream.broken && receive(channel) > 0; i++) flush(channel);
  return !is_over(channel) && !channel->stream.going_away && !channel->write_failed &&
         channel->stream.reader.queued == 0 && channel->stream.reader.prefix_have == 0;
}

uint64_t channel_sent(const struct channel *channel) { return channel->begun; }

const char *channel_reason(const struct channel *channel) {
  return channel->stream.reason[0] != '\0' ? channel->stream.reason : "the connection was lost";
}
