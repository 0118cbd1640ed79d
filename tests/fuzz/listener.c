/* A reader of what a gRPC client sends on one stream: frames, and the messages in DATA.
 * Believes that the client is ours: fails at what ours never sends. */
#include "listener.h"

#include <string.h>

#include "target.h"

static const char preface_text[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
#define PREFACE_LENGTH (sizeof preface_text - 1)
#define FRAME_MAX 16384
enum { DATA = 0, HEADERS = 1, RST_STREAM = 3 };

void listener_start(struct listener *listener, uint8_t *message,
                    void (*on_message)(void *, const uint8_t *, size_t), void *argument) {
  memset(listener, 0, sizeof *listener);
  listener->message = message;
  listener->on_message = on_message;
  listener->argument = argument;
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static void begin_message(struct listener *listener) {
  const uint8_t *prefix = listener->prefix;
  require(prefix[0] == 0, "no message is compressed");
  listener->message_length =
      (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 | (size_t)prefix[4];
  require(listener->message_length > 0 && listener->message_length <= LISTENER_MESSAGE_MAX,
          "a message is as long as a call's");
  listener->message_have = 0;
}

static void hear_data(struct listener *listener, const uint8_t *bytes, size_t length) {
  listener->data += length;
  while (length > 0) {
    size_t step;
    if (listener->prefix_have < sizeof listener->prefix) {
      step = least(length, sizeof listener->prefix - listener->prefix_have);
      memcpy(listener->prefix + listener->prefix_have, bytes, step);
      listener->prefix_have += step;
      if (listener->prefix_have == sizeof listener->prefix) begin_message(listener);
    } else {
      step = least(length, listener->message_length - listener->message_have);
      memcpy(listener->message + listener->message_have, bytes, step);
      listener->message_have += step;
      if (listener->message_have == listener->message_length) {
        listener->prefix_have = 0;
        listener->on_message(listener->argument, listener->message, listener->message_length);
      }
    }
    bytes += step;
    length -= step;
  }
}

static void begin_frame(struct listener *listener) {
  const uint8_t *head = listener->head;
  listener->left = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
  require(listener->left <= FRAME_MAX, "a frame is not longer than was agreed");
  require(head[3] <= 9, "a frame is of a known kind");
  if (head[3] == DATA) require(listener->asked && !listener->cancelled, "DATA comes on an open stream");
  if (head[3] == HEADERS) require(!listener->asked, "a connection has one stream");
  if (head[3] == HEADERS) listener->asked = true;
  if (head[3] == RST_STREAM) listener->cancelled = true;
}

static size_t hear_payload(struct listener *listener, const uint8_t *bytes, size_t length) {
  size_t step = least(length, listener->left);
  if (listener->head[3] == DATA) hear_data(listener, bytes, step);
  listener->left -= step;
  return step;
}

static size_t hear_head(struct listener *listener, const uint8_t *bytes, size_t length) {
  size_t step = least(length, sizeof listener->head - listener->head_have);
  memcpy(listener->head + listener->head_have, bytes, step);
  listener->head_have += step;
  if (listener->head_have == sizeof listener->head) begin_frame(listener);
  return step;
}

static size_t hear_preface(struct listener *listener, const uint8_t *bytes, size_t length) {
  size_t step = least(length, PREFACE_LENGTH - listener->preface);
  require(memcmp(bytes, &preface_text[listener->preface], step) == 0,
          "a connection begins with HTTP/2's preface");
  listener->preface += step;
  return step;
}

void listener_hears(struct listener *listener, const uint8_t *bytes, size_t length) {
  while (length > 0) {
    size_t step;
    if (listener->preface < PREFACE_LENGTH)
      step = hear_preface(listener, bytes, length);
    else if (listener->head_have < sizeof listener->head)
      step = hear_head(listener, bytes, length);
    else
      step = hear_payload(listener, bytes, length);
    bytes += step;
    length -= step;
    if (listener->head_have == sizeof listener->head && listener->left == 0) listener->head_have = 0;
  }
}
