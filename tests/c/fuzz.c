/* Mutates messages of its own making and feeds them to the parsers that see a peer's bytes, under sanitizers.
 * fuzz ITERATIONS [SEED]: the same input for the same seed. With -DLIBFUZZER it is libFuzzer's target. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract.h"
#include "decimal.h"
#include "explain.h"
#include "failure.h"
#include "grpc_wire.h"
#include "json_read.h"
#include "server.h"
#include "utf8.h"

#define INPUT_MAX 512
#define MESSAGE_MAX 256
#define SEED 20240611u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* failure.c's only need; nothing is raised here. */
void server_raise(int error_id, int flags, ...) { (void)error_id, (void)flags; }

static void require(bool good, const char *what) {
  if (good) return;
  (void)fprintf(stderr, "fuzz: %s\n", what);
  abort();
}

static unsigned int checksum; /* keeps the reads of what was decoded from being optimised away */

static void touch(const void *bytes, size_t length) {
  const uint8_t *at = bytes;
  for (size_t i = 0; i < length; i++) checksum = checksum * 31 + at[i];
}

static void try_decode(const uint8_t *bytes, size_t length) {
  struct invoke_response response;
  if (!contract_decode(bytes, length, &response)) return;
  const struct slice slices[] = {
      response.result.request_id,
      response.result.executed_version,
      response.result.function_error,
      response.result.function_error_text,
      response.result.log_tail,
      response.result.payload,
      response.error.code,
      response.error.message,
  };
  for (size_t i = 0; i < sizeof slices / sizeof slices[0]; i++) {
    const uint8_t *data = (const uint8_t *)slices[i].data;
    if (slices[i].length == 0) continue;
    require(data >= bytes && data + slices[i].length <= bytes + length, "a slice points outside");
    touch(data, slices[i].length);
  }
}

/* The first byte decides where the rest is split into chunks. */
static void try_reader(const uint8_t *bytes, size_t length) {
  struct grpc_reader reader;
  size_t chunk = length > 0 ? bytes[0] % 40u + 1 : 1;
  grpc_reader_start(&reader, MESSAGE_MAX, 8);
  for (size_t at = 1; at < length; at += chunk) {
    size_t step = length - at < chunk ? length - at : chunk;
    if (grpc_reader_feed(&reader, bytes + at, step) != GRPC_READ_OK) break;
    require(reader.queued <= reader.max_queued, "the queue is too long");
    if (reader.queued < 4) continue;
    struct grpc_message *message = grpc_reader_take(&reader);
    require(message->length <= MESSAGE_MAX, "a message is too long");
    try_decode(message->bytes, message->length);
    free(message);
  }
  grpc_reader_end(&reader);
}

static void try_texts(const uint8_t *bytes, size_t length) {
  char text[64];
  uint64_t number = 0;
  struct failure failure;
  size_t size = length > 0 ? bytes[0] % sizeof text + 1 : 1;
  grpc_percent_decode(bytes, length, text, size);
  require(strlen(text) < size, "a text is too long");
  (void)decimal_parse((const char *)bytes, length, &number);
  enum grpc_status status = grpc_status_parse(bytes, length);
  require(status >= GRPC_STATUS_OK && status <= GRPC_STATUS_LAST, "a status that is none");
  failure_set(&failure, FAILURE_API, "%.*s", (int)length, (const char *)bytes);
  touch(failure.text, strlen(failure.text));
  checksum += explain_only((const char *)bytes, length);
}

struct scratch {
  char *bytes;
  size_t length;
};

static bool take_member(void *context, const struct json_member *member) {
  const struct scratch *scratch = context;
  require(member->name >= scratch->bytes &&
              member->name + member->name_length <= scratch->bytes + scratch->length,
          "a name points outside");
  touch(member->name, member->name_length);
  if (member->kind == JSON_STRING) touch(member->text, member->length);
  return true;
}

static void try_object(const uint8_t *bytes, size_t length) {
  struct scratch scratch = {.bytes = malloc(length > 0 ? length : 1), .length = length};
  const char *what = NULL;
  size_t at = 0;
  require(scratch.bytes != NULL, "no memory");
  if (utf8_is_valid((const char *)bytes, length)) {
    (void)json_read_object((const char *)bytes, length, scratch.bytes, take_member, &scratch, &what, &at);
    require(at <= length, "a fault outside");
  }
  free(scratch.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
  try_object(bytes, length);
  try_decode(bytes, length);
  try_reader(bytes, length);
  try_texts(bytes, length);
  return 0;
}

#ifndef LIBFUZZER

static uint64_t random_state;

/* xorshift64*: the same numbers everywhere (Vigna 2016). */
static uint32_t random_below(uint32_t limit) {
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return (uint32_t)((random_state * 2685821657736338717u) >> 32) % limit;
}

static size_t put_field(uint8_t *out, uint8_t number, uint8_t length) {
  out[0] = (uint8_t)(number << 3 | 2);
  out[1] = length;
  for (uint8_t i = 0; i < length; i++) out[2 + i] = (uint8_t)random_below(256);
  return 2u + length;
}

/* An InvokeResponse with fields in any number and order; under 120 bytes. */
static size_t make_response(uint8_t *out) {
  static const uint8_t fields[] = {2, 3, 4, 5, 6, 15, 9};
  uint8_t inner[100];
  size_t length = 0;
  inner[length++] = 0x08;
  inner[length++] = (uint8_t)random_below(128);
  for (uint32_t i = random_below(6); i > 0; i--)
    length += put_field(inner + length, fields[random_below(sizeof fields)], (uint8_t)random_below(13));
  out[0] = 0x08;
  out[1] = (uint8_t)random_below(128);
  out[2] = random_below(2) ? 0x12 : 0x1a;
  out[3] = (uint8_t)length;
  memcpy(out + 4, inner, length);
  return 4 + length;
}

static size_t make_input(uint8_t *input) {
  static const char text[] = "%E2%82%AC 18446744073709551615 \xc3\xa4%";
  static const char statement[] = "-- a\n#b\n/* c */ /*! EXPLAIN */ FORMAT='x\\'y' INTO @`z` (SELECT 1)";
  size_t length = 0;
  static const char object[] =
      " {\"a\\u00e9\": \"\\ud83d\\ude00\\n\", \"b\": [-1.5e3, {\"c\": [true, null]}], \"\": 07}";
  switch (random_below(5)) {
    case 0:
      return make_response(input);
    case 1: /* a stream of messages, after the byte that splits it */
      input[length++] = (uint8_t)random_below(256);
      for (uint32_t i = random_below(3) + 1; i > 0; i--) {
        size_t size = make_response(input + length + GRPC_PREFIX_SIZE);
        grpc_prefix_write(input + length, (uint32_t)size);
        length += GRPC_PREFIX_SIZE + size;
      }
      return length;
    case 2:
      length = random_below(sizeof object);
      memcpy(input, object, length);
      if (random_below(2)) input[length++] = '}';
      return length;
    case 3:
      length = random_below(sizeof statement);
      memcpy(input, statement + sizeof statement - 1 - length, length);
      return length;
    default:
      length = random_below(sizeof text);
      memcpy(input, text + sizeof text - 1 - length, length);
      return length;
  }
}

static size_t mutate(uint8_t *input, size_t length) {
  static const uint8_t odd[] = {0, 1, 0x7f, 0x80, 0xff, 0x08, 0x12, 0x1a, 0x79, 0x7d, '%', '9'};
  for (uint32_t i = random_below(5); i > 0 && length > 0; i--) {
    size_t at = random_below((uint32_t)length);
    switch (random_below(5)) {
      case 0:
        input[at] ^= (uint8_t)(1u << random_below(8));
        break;
      case 1:
        input[at] = odd[random_below(sizeof odd)];
        break;
      case 2: /* cut the end */
        length = at;
        break;
      case 3: /* take a byte out */
        memmove(input + at, input + at + 1, length - at - 1);
        length--;
        break;
      default: /* put a byte in */
        if (length == INPUT_MAX) break;
        memmove(input + at + 1, input + at, length - at);
        input[at] = (uint8_t)random_below(256);
        length++;
    }
  }
  return length;
}

int main(int argc, char **argv) {
  unsigned long iterations = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
  unsigned long seed = argc > 2 ? strtoul(argv[2], NULL, 10) : SEED;
  random_state = seed == 0 ? SEED : seed;
  (void)printf("seed %lu, %lu iterations\n", seed, iterations);
  (void)fflush(stdout);
  for (unsigned long i = 0; i < iterations; i++) {
    uint8_t input[INPUT_MAX];
    size_t length = mutate(input, make_input(input));
    uint8_t *exact = malloc(length > 0 ? length : 1); /* so that a byte too many is seen */
    require(exact != NULL, "no memory");
    memcpy(exact, input, length);
    LLVMFuzzerTestOneInput(exact, length);
    free(exact);
  }
  (void)printf("done, checksum %u\n", checksum);
  return 0;
}

#endif
