/* From what a server tells of an argument to JSON. Where two types look alike, the rule is the one that does
 * not change a value: a text that is sent as a text is never wrong. Must not know what the JSON is for. */
#include "value.h"

#include <stdint.h>
#include <string.h>

#include "json_printed.h"

/* Any integer of so many characters fits into a long long, with its sign or without. */
#define INTEGER_LENGTH_MAX 18
#define BIT_MAX 64
/* "2026-01-02 03:04:05", and with ".123456". */
#define DATETIME_LENGTH 19
#define DATETIME_LENGTH_MAX 26
#define JSON_LENGTH UINT32_MAX
#define JSON_LENGTH_8_0 16777216

/* ---- what an argument is ---- */

/* In init the values of constants are there, and of them alone. */
static bool is_constant(const UDF_ARGS *args, unsigned int index) { return args->args[index] != NULL; }

/* The first byte of the argument's source. */
static char source(const UDF_ARGS *args, unsigned int index) {
  const char *attribute = args->attributes[index];
  return attribute == NULL || args->attribute_lengths[index] == 0 ? '\0' : *attribute;
}

/* 'text', "text" or _latin1'text', perhaps with COLLATE behind it. */
static bool is_literal(const UDF_ARGS *args, unsigned int index) {
  char first = source(args, index);
  return first == '\'' || first == '"' || (first == '_' && is_constant(args, index));
}

static enum value_kind integer_kind(const UDF_ARGS *args, unsigned int index, bool is_binary) {
  /* As text a BIT is bytes. */
  if (is_binary) return args->lengths[index] == BIT_MAX ? VALUE_UNSIGNED : VALUE_INTEGER;
  return args->lengths[index] <= INTEGER_LENGTH_MAX ? VALUE_INTEGER : VALUE_DIGITS;
}

/* Of text in utf8mb4_bin. */
static enum value_kind json_kind(const UDF_ARGS *args, unsigned int index) {
  unsigned long longest = args->lengths[index];
  if (longest == JSON_LENGTH) return VALUE_JSON;
  bool may_be = is_constant(args, index) || source(args, index) == '?' || longest == JSON_LENGTH_8_0;
  return may_be ? VALUE_MAYBE_JSON : VALUE_TEXT;
}

static enum value_kind string_kind(const UDF_ARGS *args, unsigned int index, const char *collation) {
  unsigned long longest = args->lengths[index];
  if (strcmp(collation, "binary") == 0) return VALUE_BINARY;
  if (is_literal(args, index)) return VALUE_TEXT;
  if (strcmp(collation, "utf8mb4_bin") == 0) return json_kind(args, index);
  bool has_length =
      longest == DATETIME_LENGTH || (longest > DATETIME_LENGTH + 1 && longest <= DATETIME_LENGTH_MAX);
  return has_length && strcmp(collation, "latin1_swedish_ci") == 0 ? VALUE_DATETIME : VALUE_TEXT;
}

static enum value_kind kind_of(const UDF_ARGS *args, unsigned int index, const char *collation) {
  switch (args->arg_type[index]) {
    case INT_RESULT:
      return integer_kind(args, index, strcmp(collation, "binary") == 0);
    case REAL_RESULT:
      return VALUE_REAL;
    case DECIMAL_RESULT:
      return VALUE_DIGITS;
    default:
      return string_kind(args, index, collation);
  }
}

struct value_type value_type_of(const UDF_ARGS *args, unsigned int index, const char *collation) {
  return (struct value_type){.kind = kind_of(args, index, collation), .longest = args->lengths[index]};
}

enum Item_result value_asked_as(enum value_kind kind) {
  if (kind == VALUE_INTEGER || kind == VALUE_UNSIGNED) return INT_RESULT;
  return kind == VALUE_REAL ? REAL_RESULT : STRING_RESULT;
}

/* ---- what a value is ---- */

static bool is_datetime(const char *text, size_t length) {
  static const char form[] = "0000-00-00 00:00:00.000000";
  for (size_t i = 0; i < length; i++) {
    bool is_digit = text[i] >= '0' && text[i] <= '9';
    if (form[i] == '0' ? !is_digit : text[i] != form[i]) return false;
  }
  return true;
}

static enum json_written write_datetime(struct bytes *bytes, const char *text, size_t length,
                                        unsigned long longest) {
  size_t space = bytes->length + sizeof "\"2026-01-02" - 1;
  enum json_written written = json_write_string(bytes, text, length);
  if (written == WRITTEN && length == longest && is_datetime(text, length)) bytes->data[space] = 'T';
  return written;
}

static bool is_json(enum value_kind kind, const char *text, size_t length) {
  bool is_any = kind == VALUE_JSON || (length > 0 && strchr("{[\"", *text) != NULL && *text != '\0');
  return is_any && json_is_printed(text, length);
}

static enum json_written write_json(struct bytes *bytes, enum value_kind kind, const char *text,
                                    size_t length) {
  if (!is_json(kind, text, length)) return json_write_string(bytes, text, length);
  return bytes_add(bytes, text, length) ? WRITTEN : WRITTEN_NO_MEMORY;
}

enum json_written value_write(struct bytes *bytes, struct value_type type, const UDF_ARGS *args,
                              unsigned int index) {
  const char *value = args->args[index];
  size_t length = args->lengths[index];
  long long integer = 0;
  double real = 0;
  if (value == NULL) return bytes_add(bytes, "null", 4) ? WRITTEN : WRITTEN_NO_MEMORY;
  switch (type.kind) {
    case VALUE_INTEGER:
    case VALUE_UNSIGNED:
      memcpy(&integer, value, sizeof integer);
      return type.kind == VALUE_INTEGER ? json_write_integer(bytes, integer)
                                        : json_write_unsigned(bytes, (uint64_t)integer);
    case VALUE_REAL:
      memcpy(&real, value, sizeof real);
      return json_write_double(bytes, real);
    case VALUE_DIGITS:
      return json_write_digits(bytes, value, length);
    case VALUE_BINARY:
      return json_write_base64(bytes, value, length);
    case VALUE_DATETIME:
      return write_datetime(bytes, value, length, type.longest);
    case VALUE_JSON:
    case VALUE_MAYBE_JSON:
      return write_json(bytes, type.kind, value, length);
    default:
      return json_write_string(bytes, value, length);
  }
}
