/* gRPC's framing inside HTTP/2, without I/O: length-prefixed messages, status, percent-encoding.
 * Pure, so that it is fuzzed (tests/fuzz). Source: grpc/doc/PROTOCOL-HTTP2.md in gRPC's repository. */
#ifndef LAMBDA_UDF_GRPC_WIRE_H
#define LAMBDA_UDF_GRPC_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length-Prefixed-Message: Compressed-Flag (1 byte), Message-Length (4 bytes, big endian). */
#define GRPC_PREFIX_SIZE 5

/* Status codes used here (grpc/doc/statuscodes.md). */
enum grpc_status {
  GRPC_STATUS_MISSING = -1,
  GRPC_STATUS_OK = 0,
  GRPC_STATUS_CANCELLED = 1,
  GRPC_STATUS_UNKNOWN = 2,
  GRPC_STATUS_UNAVAILABLE = 14,
  GRPC_STATUS_LAST = 16
};

/* Writes the prefix of an uncompressed message. */
void grpc_prefix_write(uint8_t prefix[GRPC_PREFIX_SIZE], uint32_t message_length);

struct grpc_message {
  struct grpc_message *next;
  size_t length;
  uint8_t bytes[]; /* length of them and a NUL */
};

/* Puts messages together from DATA chunks, which do not align with them. */
struct grpc_reader {
  size_t max_length; /* of one message; set by grpc_reader_start */
  size_t max_queued; /* messages that may wait in the queue; more is a peer that answers unasked */
  size_t queued;
  uint8_t prefix[GRPC_PREFIX_SIZE];
  size_t prefix_have;
  struct grpc_message *partial;
  size_t partial_have;
  struct grpc_message *first; /* complete messages, in order */
  struct grpc_message *last;
};

enum grpc_read {
  GRPC_READ_OK = 0,
  GRPC_READ_COMPRESSED, /* the flag is set, though no encoding was offered */
  GRPC_READ_TOO_LONG,
  GRPC_READ_TOO_MANY,
  GRPC_READ_NO_MEMORY
};

void grpc_reader_start(struct grpc_reader *reader, size_t max_length, size_t max_queued);

/* Takes one chunk whole. After anything but GRPC_READ_OK only grpc_reader_end may follow. */
enum grpc_read grpc_reader_feed(struct grpc_reader *reader, const uint8_t *chunk, size_t length);

/* The oldest complete message, now the caller's (free()), or NULL. */
struct grpc_message *grpc_reader_take(struct grpc_reader *reader);

/* Frees what was not taken. */
void grpc_reader_end(struct grpc_reader *reader);

/* Parses a grpc-status value: 0 to 16; GRPC_STATUS_UNKNOWN for anything else. */
enum grpc_status grpc_status_parse(const uint8_t *value, size_t length);

/* Decodes a grpc-message value into text (ends with NUL, cut to size ≥ 1). Malformed escapes stay as
 * they are, as the specification asks. */
void grpc_percent_decode(const uint8_t *value, size_t length, char *text, size_t size);

#endif
