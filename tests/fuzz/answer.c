/* contract.c under any bytes: what the sidecar answers, and requests with any texts.
 * Each slice must lie within the bytes that were decoded. */
#include <string.h>

#include "contract.h"
#include "target.h"

static unsigned int checksum; /* keeps the reads of what was decoded from being optimised away */

static void check_slice(struct slice slice, const uint8_t *bytes, size_t length) {
  const uint8_t *data = (const uint8_t *)slice.data;
  if (slice.length == 0) return;
  require(data >= bytes && slice.length <= length && data + slice.length <= bytes + length,
          "a slice points into the answer");
  for (size_t i = 0; i < slice.length; i++) checksum = checksum * 31 + data[i];
}

static void check_response(const struct invoke_response *response, const uint8_t *bytes, size_t length) {
  const struct slice slices[] = {
      response->result.request_id,
      response->result.executed_version,
      response->result.function_error,
      response->result.function_error_text,
      response->result.log_tail,
      response->result.payload,
      response->error.code,
      response->error.message,
      response->error.request_id,
      response->part,
  };
  for (size_t i = 0; i < sizeof slices / sizeof slices[0]; i++) check_slice(slices[i], bytes, length);
  require(response->part.length == 0 || (!response->is_error && response->result.payload.length == 0),
          "a part stands instead of an outcome");
  require(response->more_count <= CONTRACT_MORE_MAX, "further answers are no more than there may be");
  for (size_t i = 0; i < response->more_count; i++) check_slice(response->more[i], bytes, length);
}

/* An answer, and those that came with it. */
static void decode(const uint8_t *bytes, size_t length) {
  struct invoke_response response, further;
  if (!contract_decode(bytes, length, &response)) return;
  check_response(&response, bytes, length);
  for (size_t i = 0; i < response.more_count; i++) {
    const uint8_t *more = (const uint8_t *)response.more[i].data;
    if (contract_decode(more, response.more[i].length, &further))
      check_response(&further, more, response.more[i].length);
  }
}

/* Two requests in one message, of which each by itself has so many bytes: the second has a tag and a length
 * in front. */
static void encode_twice(const struct invoke_request *request, size_t each) {
  const struct invoke_request *requests[] = {request, request};
  uint8_t *message = NULL;
  size_t length = 0, head = 3;
  for (size_t left = each; left > 127; left >>= 7) head++;
  require(contract_encode_all(requests, 2, &message, &length), "two requests are encoded");
  require(length == 2 * each + head, "they take the room of both");
  require(memcmp(message, message + each + head, each) == 0, "and are whole");
  free(message);
}

/* The bytes as the texts of a request; the length of its head does not depend on the payload's bytes. */
static void encode(const uint8_t *bytes, size_t length) {
  struct slice text = {.data = (const char *)bytes, .length = length};
  struct invoke_request request = {
      .call_id = length,
      .type = INVOCATION_EVENT,
      .timeout_ms = (uint32_t)length * 65537u,
      .function = text,
      .options = text,
      .payload = text,
      .user = text,
      .host = text,
      .schema = text,
      .connection_id = UINT64_MAX,
      .result_max = length,
  };
  uint8_t *head = NULL;
  size_t head_length = 0;
  require(contract_encode(&request, &head, &head_length), "a request is encoded");
  require(head_length > 5 * length, "its head has all its texts");
  for (size_t i = 0; i < head_length; i++) checksum = checksum * 31 + head[i];
  encode_twice(&request, head_length + length);
  /* A request is no answer, but a peer may send it back: the payload of the one is that of the other. */
  decode(head, head_length);
  free(head);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
  decode(bytes, length);
  encode(bytes, length);
  return 0;
}
