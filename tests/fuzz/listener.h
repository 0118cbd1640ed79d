/* Follows the bytes that the library sends, by its own reading of RFC 9113 and of gRPC's framing, so that a
 * test knows which messages have left whole. Knows neither nghttp2 nor sockets. */
#ifndef LAMBDA_UDF_FUZZ_LISTENER_H
#define LAMBDA_UDF_FUZZ_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LISTENER_MESSAGE_MAX (256 * 1024)

struct listener {
  size_t preface;   /* bytes of it that have come */
  uint8_t head[9];  /* of a frame */
  size_t head_have; /* 9: in the frame's payload */
  size_t left;      /* of that */
  bool asked;       /* HEADERS of a stream have come */
  bool cancelled;   /* RST_STREAM has */
  uint64_t data;    /* bytes of DATA since the last WINDOW_UPDATE that we wrote */
  uint8_t prefix[5];
  size_t prefix_have;
  size_t message_length, message_have;
  uint8_t *message; /* LISTENER_MESSAGE_MAX bytes of room */
  void (*on_message)(void *argument, const uint8_t *message, size_t length);
  void *argument;
};

/* Each whole message goes to on_message. message has LISTENER_MESSAGE_MAX bytes. */
void listener_start(struct listener *listener, uint8_t *message,
                    void (*on_message)(void *, const uint8_t *, size_t), void *argument);
void listener_hears(struct listener *listener, const uint8_t *bytes, size_t length);

#endif
