/* The JSON that the library reads and writes: an object of options as SQL gives it, the print of MySQL's own
 * JSON, strings, numbers and base64. What was written must be read back as it was. */
#include <math.h>
#include <string.h>

#include "aggregate_options.h"
#include "durable_name.h"
#include "failure.h"
#include "json_printed.h"
#include "json_read.h"
#include "json_write.h"
#include "option_trace.h"
#include "server.h"
#include "target.h"
#include "utf8.h"

/* failure.c's only need; nothing is raised here. */
void server_raise(int error_id, int flags, ...) { (void)error_id, (void)flags; }

struct reading {
  const char *scratch;
  size_t length;
  struct json_member last;
  size_t members;
};

static bool lies_in(const struct reading *reading, const char *text, size_t length) {
  return text >= reading->scratch && text + length <= reading->scratch + reading->length;
}

static bool take_member(void *context, const struct json_member *member) {
  struct reading *reading = context;
  require(lies_in(reading, member->name, member->name_length), "a name lies in the scratch");
  require(utf8_is_valid(member->name, member->name_length), "a name is UTF-8");
  if (member->kind == JSON_STRING) {
    require(lies_in(reading, member->text, member->length), "a text lies in the scratch");
    require(utf8_is_valid(member->text, member->length), "a text is UTF-8");
  }
  reading->last = *member;
  reading->members++;
  return true;
}

/* Reads an exact copy into a scratch of exactly its length. */
static enum json_read read_object(const char *text, size_t length, char *scratch, struct reading *reading) {
  const char *what = NULL;
  size_t at = 0;
  *reading = (struct reading){.scratch = scratch, .length = length};
  enum json_read read = json_read_object(text, length, scratch, take_member, reading, &what, &at);
  if (read == JSON_READ_MALFORMED) require(what != NULL && at <= length, "a fault has a place and a name");
  return read;
}

static void read_any_object(const uint8_t *bytes, size_t length) {
  struct reading reading;
  if (!utf8_is_valid((const char *)bytes, length)) return;
  char *scratch = malloc(length + 1);
  require(scratch != NULL, "there is memory");
  (void)read_object((const char *)bytes, length, scratch, &reading);
  free(scratch);
}

/* Options twice, as in two rows: the second time they are not parsed again, and are the same. */
static void read_options(const uint8_t *bytes, size_t length, enum aggregate which) {
  struct aggregate_options options = {.length = 0};
  struct failure failure, again;
  struct slice argument = {.data = (const char *)bytes, .length = length};
  bool good = aggregate_options_read(&options, which, argument, &failure);
  uint32_t concurrency = options.concurrency;
  require(aggregate_options_read(&options, which, argument, &again) == good, "twice the same");
  require(options.concurrency == concurrency, "twice the same options");
  if (good) require(options.function.length > 0 || length == 0, "good options name a function");
  aggregate_options_free(&options);
}

/* A name is believed only where it stands in the options as it is. */
static void read_durable_name(const uint8_t *bytes, size_t length) {
  char room[DURABLE_NAME_MAX];
  struct slice options = {.data = (const char *)bytes, .length = length};
  if (length == 0 || !utf8_is_valid(options.data, length)) return;
  struct slice name = durable_name(options, room);
  if (name.length == 0) return;
  require(name.data == room && name.length <= DURABLE_NAME_MAX, "a name has room");
  require(memmem(options.data, length, "durable_execution_name", 22) != NULL, "a name is an option's");
}

/* The option's trace takes the place of another one only if it is one. */
static void read_option_trace(const uint8_t *bytes, size_t length) {
  static const char other[] = "other";
  char traceparent[TRACEPARENT_SIZE] = "other";
  option_trace((struct slice){.data = (const char *)bytes, .length = length}, traceparent);
  require(strcmp(traceparent, other) == 0 || traceparent_is_valid(traceparent),
          "a trace is one, or the one before");
}

/* {"": TEXT}, of any bytes. */
static void write_string(const uint8_t *bytes, size_t length) {
  struct bytes json = {.data = NULL};
  require(bytes_add(&json, "{\"\": ", 5), "there is memory");
  enum json_written written = json_write_string(&json, (const char *)bytes, length);
  bool valid = utf8_is_valid((const char *)bytes, length);
  require((written == WRITTEN) == valid, "what is UTF-8 is written, and nothing else");
  if (valid) {
    struct reading reading;
    require(bytes_add(&json, "}", 1), "there is memory");
    char *scratch = malloc(json.length);
    require(scratch != NULL, "there is memory");
    require(read_object(json.data, json.length, scratch, &reading) == JSON_READ, "it is read back");
    require(reading.members == 1 && reading.last.kind == JSON_STRING, "as a string");
    require(reading.last.length == length && (length == 0 || memcmp(reading.last.text, bytes, length) == 0),
            "that is the same");
    free(scratch);
  } else {
    require(json.length == 5, "what is refused leaves nothing behind");
  }
  bytes_free(&json);
}

static void write_numbers(const uint8_t *bytes, size_t length) {
  struct bytes json = {.data = NULL};
  double number = 0;
  int64_t integer = 0;
  if (length < sizeof number) return;
  memcpy(&number, bytes, sizeof number);
  memcpy(&integer, bytes, sizeof integer);
  bool finite = isfinite(number);
  require((json_write_double(&json, number) == WRITTEN) == finite, "every finite number is written");
  if (finite) {
    require(bytes_add(&json, "", 1), "there is memory");
    require(strtod(json.data, NULL) == number, "and reads back as the same");
  }
  json.length = 0;
  require(json_write_integer(&json, integer) == WRITTEN && bytes_add(&json, "", 1), "an integer is written");
  require(strtoll(json.data, NULL, 10) == integer, "and reads back as the same");
  json.length = 0;
  (void)json_write_digits(&json, (const char *)bytes, length);
  json.length = 0;
  require(json_write_base64(&json, bytes, length) == WRITTEN, "any bytes are written in base64");
  require(json.length == 2 + 4 * ((length + 2) / 3), "in four characters for three");
  bytes_free(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
  read_any_object(bytes, length);
  read_options(bytes, length, AGGREGATE_MAP);
  read_options(bytes, length, AGGREGATE_BATCH);
  read_durable_name(bytes, length);
  read_option_trace(bytes, length);
  if (json_is_printed((const char *)bytes, length))
    require(utf8_is_valid((const char *)bytes, length), "what MySQL prints is UTF-8");
  write_string(bytes, length);
  write_numbers(bytes, length);
  return 0;
}
