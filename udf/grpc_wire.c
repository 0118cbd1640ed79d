/* gRPC's framing inside HTTP/2, without I/O.
 * Must not know what the messages mean. */
#include "grpc_wire.h"

#include <stdlib.h>
#include <string.h>

#include "decimal.h"

void grpc_prefix_write(uint8_t prefix[GRPC_PREFIX_SIZE], uint32_t message_length) {
  prefix[0] = 0;
  prefix[1] = (uint8_t)(message_length >> 24);
  prefix[2] = (uint8_t)(message_length >> 16);
  prefix[3] = (uint8_t)(message_length >> 8);
  prefix[4] = (uint8_t)message_length;
}

void grpc_reader_start(struct grpc_reader *reader, size_t max_length, size_t max_queued) {
  memset(reader, 0, sizeof *reader);
  reader->max_length = max_length;
  reader->max_queued = max_queued;
}

static enum grpc_read start_message(struct grpc_reader *reader) {
  const uint8_t *prefix = reader->prefix;
  size_t length = (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 | prefix[4];
  if (prefix[0] != 0) return GRPC_READ_COMPRESSED;
  if (length > reader->max_length) return GRPC_READ_TOO_LONG;
  if (reader->queued >= reader->max_queued) return GRPC_READ_TOO_MANY;
  reader->partial = malloc(sizeof *reader->partial + length + 1);
  if (reader->partial == NULL) return GRPC_READ_NO_MEMORY;
  reader->partial->next = NULL;
  reader->partial->length = length;
  reader->partial_have = 0;
  return GRPC_READ_OK;
}

static void finish_message(struct grpc_reader *reader) {
  reader->partial->bytes[reader->partial->length] = 0;
  if (reader->last == NULL)
    reader->first = reader->partial;
  else
    reader->last->next = reader->partial;
  reader->last = reader->partial;
  reader->queued++;
  reader->partial = NULL;
  reader->prefix_have = 0;
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

enum grpc_read grpc_reader_feed(struct grpc_reader *reader, const uint8_t *chunk, size_t length) {
  while (length > 0) {
    size_t step;
    if (reader->partial == NULL) {
      step = least(length, GRPC_PREFIX_SIZE - reader->prefix_have);
      memcpy(reader->prefix + reader->prefix_have, chunk, step);
      reader->prefix_have += step;
      if (reader->prefix_have == GRPC_PREFIX_SIZE) {
        enum grpc_read started = start_message(reader);
        if (started != GRPC_READ_OK) return started;
      }
    } else {
      step = least(length, reader->partial->length - reader->partial_have);
      memcpy(reader->partial->bytes + reader->partial_have, chunk, step);
      reader->partial_have += step;
    }
    chunk += step;
    length -= step;
    if (reader->partial != NULL && reader->partial_have == reader->partial->length) finish_message(reader);
  }
  return GRPC_READ_OK;
}

struct grpc_message *grpc_reader_take(struct grpc_reader *reader) {
  struct grpc_message *message = reader->first;
  if (message == NULL) return NULL;
  reader->first = message->next;
  if (reader->first == NULL) reader->last = NULL;
  reader->queued--;
  message->next = NULL;
  return message;
}

void grpc_reader_end(struct grpc_reader *reader) {
  struct grpc_message *message;
  while ((message = grpc_reader_take(reader)) != NULL) free(message);
  free(reader->partial);
  reader->partial = NULL;
}

enum grpc_status grpc_status_parse(const uint8_t *value, size_t length) {
  uint64_t number;
  if (!decimal_parse((const char *)value, length, &number) || number > GRPC_STATUS_LAST)
    return GRPC_STATUS_UNKNOWN;
  return (enum grpc_status)number;
}

static int hex_digit(uint8_t c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void grpc_percent_decode(const uint8_t *value, size_t length, char *text, size_t size) {
  size_t out = 0;
  for (size_t i = 0; i < length && out + 1 < size; i++) {
    uint8_t c = value[i];
    if (c == '%' && length - i > 2) {
      int high = hex_digit(value[i + 1]);
      int low = hex_digit(value[i + 2]);
      if (high >= 0 && low >= 0) {
        c = (uint8_t)(high << 4 | low);
        i += 2;
      }
    }
    text[out++] = (char)c;
  }
  text[out] = '\0';
}
