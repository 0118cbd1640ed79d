/* Lets Python compare what udf/json_write.c, json_printed.c and durable_name.c make of values.
 * stdin: records of a kind (one byte), a length (4 bytes, little endian) and so many bytes. Kinds: 's' a
 * text, 'b' bytes, 'n' digits; 'd' a double, 'i' an int64_t, 'u' a uint64_t, each as memory has it; 'p' a
 * text of which is asked whether it is as the server prints JSON; 'o' options, of which the name of the
 * durable execution is written as JSON. stdout: for each a status (one byte, enum json_written; of 'p' 0 for
 * yes, of 'o' 1 where there is no name) and, where that is 0, a length and the JSON. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "durable_name.h"
#include "json_printed.h"
#include "json_write.h"

static uint8_t write_name(struct bytes *json, const char *options, size_t length) {
  char room[DURABLE_NAME_MAX];
  struct slice name = durable_name((struct slice){.data = options, .length = length}, room);
  return name.length == 0 ? 1 : json_write_string(json, name.data, name.length);
}

static uint8_t write_value(struct bytes *json, char kind, const char *value, size_t length) {
  double real = 0;
  int64_t integer = 0;
  uint64_t number = 0;
  switch (kind) {
    case 's':
      return json_write_string(json, value, length);
    case 'b':
      return json_write_base64(json, value, length);
    case 'n':
      return json_write_digits(json, value, length);
    case 'd':
      memcpy(&real, value, sizeof real);
      return json_write_double(json, real);
    case 'i':
      memcpy(&integer, value, sizeof integer);
      return json_write_integer(json, integer);
    case 'u':
      memcpy(&number, value, sizeof number);
      return json_write_unsigned(json, number);
    case 'p':
      return json_is_printed(value, length) ? 0 : 1;
    case 'o':
      return write_name(json, value, length);
    default:
      abort();
  }
}

static void put(const void *data, size_t length) {
  if (length > 0 && fwrite(data, length, 1, stdout) != 1) abort();
}

/* False: there are no more. */
static bool next_record(void) {
  struct bytes json = {.data = NULL};
  uint32_t length = 0, json_length = 0;
  int kind = getchar();
  if (kind == EOF) return false;
  if (fread(&length, sizeof length, 1, stdin) != 1) abort();
  char *value = malloc(length > 0 ? length : 1); /* of the very size, so that a byte too many is seen */
  if (value == NULL || (length > 0 && fread(value, length, 1, stdin) != 1)) abort();
  uint8_t status = write_value(&json, (char)kind, value, length);
  if (status != 0 && json.length != 0) abort();
  json_length = (uint32_t)json.length;
  put(&status, sizeof status);
  if (status == 0) {
    put(&json_length, sizeof json_length);
    put(json.data, json.length);
  }
  bytes_free(&json);
  free(value);
  return true;
}

int main(void) {
  while (next_record()) {
  }
  return 0;
}
