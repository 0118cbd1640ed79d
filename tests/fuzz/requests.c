/* Protobuf's wire format (protobuf.dev: Encoding), as far as InvokeRequest needs it.
 * Believes that the client is ours: fails at what ours never sends. */
#include "requests.h"

#include <string.h>

#include "target.h"

/* Numbers of fields in invoker.proto. */
enum {
  CALL_ID = 1,
  TIMEOUT_MS = 4,
  DEADLINE_MS = 8,
  PAYLOAD = 15,
  MORE = 17,
  TAKES_MORE = 18,
  DURABLE_NAME = 19,
  RESULT_MAX = 21
};
enum { VARINT = 0, LENGTH = 2 };

struct reader {
  const uint8_t *next, *end;
};

struct field {
  uint64_t number, value; /* value: of a VARINT, or how many bytes there are */
  const uint8_t *bytes;   /* NULL: it is a VARINT */
};

static uint64_t read_varint(struct reader *reader) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    require(reader->next < reader->end, "a number ends in its message");
    uint8_t byte = *reader->next++;
    value |= (uint64_t)(byte & 127) << shift;
    if (byte < 128) return value;
  }
  require(false, "a number has at most ten bytes");
  return 0;
}

static struct field read_field(struct reader *reader) {
  uint64_t tag = read_varint(reader), wire_type = tag & 7;
  require(wire_type == VARINT || wire_type == LENGTH, "a field is a number or bytes");
  struct field field = {.number = tag >> 3, .value = read_varint(reader)};
  if (wire_type == VARINT) return field;
  require(field.value <= (size_t)(reader->end - reader->next), "bytes end in their message");
  field.bytes = reader->next;
  reader->next += field.value;
  return field;
}

static void take_field(struct sent_request *request, const struct field *field) {
  if (field->number == CALL_ID) request->call_id = field->value;
  if (field->number == TIMEOUT_MS) request->timeout_ms = field->value;
  if (field->number == DEADLINE_MS) request->deadline_ms = field->value;
  if (field->number == TAKES_MORE) request->takes_more = field->value != 0;
  if (field->number == RESULT_MAX) request->result_max = field->value;
  if (field->number == DURABLE_NAME) request->has_durable_name = field->bytes != NULL && field->value > 0;
  if (field->number != PAYLOAD) return;
  require(field->bytes != NULL && request->payload == NULL, "a request has one payload");
  request->payload = field->bytes;
  request->payload_length = field->value;
}

/* Each but the first, in which there are no others. */
static void read_one(const struct field *more, struct sent_request *request) {
  require(more->bytes != NULL, "a further request is bytes");
  struct reader reader = {.next = more->bytes, .end = more->bytes + more->value};
  while (reader.next < reader.end) {
    struct field field = read_field(&reader);
    require(field.number != MORE, "further requests are not nested");
    take_field(request, &field);
  }
}

size_t requests_read(const uint8_t *message, size_t length, struct sent_request requests[REQUESTS_MAX]) {
  struct reader reader = {.next = message, .end = message + length};
  size_t count = 1;
  memset(requests, 0, REQUESTS_MAX * sizeof *requests);
  while (reader.next < reader.end) {
    struct field field = read_field(&reader);
    if (field.number != MORE) {
      require(count == 1, "what is not a further request stands before them");
      take_field(&requests[0], &field);
      continue;
    }
    require(count < REQUESTS_MAX, "a message holds as many requests as the contract allows");
    read_one(&field, &requests[count++]);
  }
  for (size_t i = 0; i < count; i++)
    require(requests[i].timeout_ms > 0 && requests[i].payload != NULL, "a request has time and a payload");
  return count;
}
