/* grpc_wire.c under any bytes: messages that arrive in any pieces, statuses, percent-encoding.
 * The first byte says into which pieces; the rest is what comes. */
#include <string.h>

#include "grpc_wire.h"
#include "target.h"

#define MESSAGE_MAX 256
#define QUEUE_MAX 8

/* What became of a stream, as one number: of equal streams it is equal. */
struct outcome {
  enum grpc_read read;
  uint32_t messages, digest;
};

static void add(struct outcome *outcome, const struct grpc_message *message) {
  require(message->length <= MESSAGE_MAX, "a message is within its limit");
  require(message->bytes[message->length] == 0, "a NUL follows a message");
  outcome->messages++;
  for (size_t i = 0; i < message->length; i++) outcome->digest = outcome->digest * 31 + message->bytes[i] + 1;
}

/* Reads the stream in pieces of that size. */
static struct outcome read_in(size_t piece, const uint8_t *bytes, size_t length) {
  struct outcome outcome = {.read = GRPC_READ_OK};
  struct grpc_reader reader;
  grpc_reader_start(&reader, MESSAGE_MAX, QUEUE_MAX);
  for (size_t at = 0; at < length && outcome.read == GRPC_READ_OK; at += piece) {
    size_t step = length - at < piece ? length - at : piece;
    outcome.read = grpc_reader_feed(&reader, bytes + at, step);
    require(reader.queued <= QUEUE_MAX, "the queue is within its limit");
  }
  struct grpc_message *message;
  while ((message = grpc_reader_take(&reader)) != NULL) {
    add(&outcome, message);
    free(message);
  }
  require(reader.queued == 0, "what was taken is in the queue no more");
  grpc_reader_end(&reader);
  return outcome;
}

static void read_stream(const uint8_t *bytes, size_t length) {
  if (length == 0) return;
  struct outcome whole = read_in(length, bytes + 1, length - 1);
  struct outcome pieces = read_in(bytes[0] % 40u + 1, bytes + 1, length - 1);
  require(whole.read == pieces.read, "a stream in pieces ends as the whole one does");
  require(whole.messages == pieces.messages && whole.digest == pieces.digest,
          "a stream in pieces has the messages of the whole one");
}

static void read_values(const uint8_t *bytes, size_t length) {
  char text[64];
  size_t size = length > 0 ? bytes[0] % sizeof text + 1 : 1;
  grpc_percent_decode(bytes, length, text, size);
  require(memchr(text, '\0', size) != NULL, "a decoded text fits");
  enum grpc_status status = grpc_status_parse(bytes, length);
  require(status >= GRPC_STATUS_OK && status <= GRPC_STATUS_LAST, "a status is one of gRPC's");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
  read_stream(bytes, length);
  read_values(bytes, length);
  return 0;
}
