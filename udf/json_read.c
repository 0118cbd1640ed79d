/* A reader of one JSON object, without recursion.
 * Must not know what the members mean. */
#include "json_read.h"

#include <string.h>

#include "decimal.h"

static const char too_deep[] = "nested too deeply";

struct reader {
  const char *text;
  size_t length;
  size_t at;
  char *scratch; /* as much as has been read always fits: nothing becomes longer by being decoded */
  size_t used;
  const char *wrong; /* NULL as long as nothing is */
};

static bool fail(struct reader *reader, const char *what) {
  if (reader->wrong == NULL) reader->wrong = what;
  return false;
}

static bool fail_here(struct reader *reader) {
  return fail(reader, reader->at == reader->length ? "unexpected end" : "unexpected character");
}

/* The next byte, or -1 at the end. */
static int peek(const struct reader *reader) {
  return reader->at < reader->length ? (unsigned char)reader->text[reader->at] : -1;
}

static void skip_space(struct reader *reader) {
  int c;
  while ((c = peek(reader)) == ' ' || c == '\t' || c == '\n' || c == '\r') reader->at++;
}

static bool take(struct reader *reader, char expected) {
  if (peek(reader) != (unsigned char)expected) return fail_here(reader);
  reader->at++;
  return true;
}

/* ---- strings ---- */

static int hex_digit(int c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* The four digits of \uXXXX. */
static bool take_hex(struct reader *reader, unsigned int *unit) {
  *unit = 0;
  for (int i = 0; i < 4; i++) {
    int digit = hex_digit(peek(reader));
    if (digit < 0) return fail_here(reader);
    *unit = *unit << 4 | (unsigned int)digit;
    reader->at++;
  }
  return true;
}

static void put(struct reader *reader, unsigned int byte) { reader->scratch[reader->used++] = (char)byte; }

/* From \uXXXX, six bytes, at most three become; from a pair, twelve bytes, four. */
static void put_character(struct reader *reader, unsigned int character) {
  if (character < 0x80) {
    put(reader, character);
    return;
  }
  if (character < 0x800) {
    put(reader, 0xc0 | character >> 6);
  } else {
    if (character < 0x10000) {
      put(reader, 0xe0 | character >> 12);
    } else {
      put(reader, 0xf0 | character >> 18);
      put(reader, 0x80 | (character >> 12 & 0x3f));
    }
    put(reader, 0x80 | (character >> 6 & 0x3f));
  }
  put(reader, 0x80 | (character & 0x3f));
}

static bool take_unicode(struct reader *reader) {
  unsigned int unit = 0, low = 0;
  if (!take_hex(reader, &unit)) return false;
  if (unit >= 0xd800 && unit <= 0xdfff) {
    if (unit >= 0xdc00 || reader->length - reader->at < 2 || reader->text[reader->at] != '\\' ||
        reader->text[reader->at + 1] != 'u')
      return fail(reader, "half a surrogate pair");
    reader->at += 2;
    if (!take_hex(reader, &low)) return false;
    if (low < 0xdc00 || low > 0xdfff) return fail(reader, "half a surrogate pair");
    unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
  }
  put_character(reader, unit);
  return true;
}

static bool take_escape(struct reader *reader) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  int c = peek(reader);
  if (c == 'u') {
    reader->at++;
    return take_unicode(reader);
  }
  const char *found = c > 0 ? strchr(from, c) : NULL;
  if (found == NULL) return fail_here(reader);
  put(reader, (unsigned char)to[found - from]);
  reader->at++;
  return true;
}

static bool take_string(struct reader *reader, const char **text, size_t *length) {
  size_t begin = reader->used;
  if (!take(reader, '"')) return false;
  for (;;) {
    int c = peek(reader);
    if (c < 0x20) return fail_here(reader); /* the end, too */
    reader->at++;
    if (c == '"') break;
    if (c != '\\')
      put(reader, (unsigned int)c);
    else if (!take_escape(reader))
      return false;
  }
  *text = reader->scratch + begin;
  *length = reader->used - begin;
  return true;
}

/* ---- numbers and words ---- */

static size_t take_digits(struct reader *reader) {
  size_t begin = reader->at;
  while (peek(reader) >= '0' && peek(reader) <= '9') reader->at++;
  return reader->at - begin;
}

/* False: it does not fit. */
static bool to_integer(const char *digits, size_t count, bool negative, int64_t *integer) {
  uint64_t number = 0;
  if (!decimal_parse(digits, count, &number) || number > (uint64_t)INT64_MAX + (negative ? 1 : 0))
    return false;
  *integer = negative ? (int64_t)(0 - number) : (int64_t)number;
  return true;
}

static bool take_fraction(struct reader *reader) {
  bool there = false;
  if (peek(reader) == '.') {
    there = true;
    reader->at++;
    if (take_digits(reader) == 0) return fail_here(reader);
  }
  if (peek(reader) == 'e' || peek(reader) == 'E') {
    there = true;
    reader->at++;
    if (peek(reader) == '+' || peek(reader) == '-') reader->at++;
    if (take_digits(reader) == 0) return fail_here(reader);
  }
  return there;
}

static bool take_number(struct reader *reader, struct json_member *member) {
  bool negative = peek(reader) == '-';
  if (negative) reader->at++;
  size_t begin = reader->at, count = 1;
  if (peek(reader) == '0')
    reader->at++;
  else
    count = take_digits(reader);
  if (count == 0) return fail_here(reader);
  bool fraction = take_fraction(reader);
  if (reader->wrong != NULL) return false;
  if (!fraction && to_integer(reader->text + begin, count, negative, &member->integer))
    member->kind = JSON_INTEGER;
  return true;
}

static bool take_word(struct reader *reader, const char *word) {
  for (; *word != '\0'; word++)
    if (!take(reader, *word)) return false;
  return true;
}

static bool take_scalar(struct reader *reader, struct json_member *member) {
  switch (peek(reader)) {
    case '"':
      member->kind = JSON_STRING;
      return take_string(reader, &member->text, &member->length);
    case 't':
      member->kind = JSON_TRUE;
      return take_word(reader, "true");
    case 'f':
      member->kind = JSON_FALSE;
      return take_word(reader, "false");
    case 'n':
      return take_word(reader, "null");
    default:
      return take_number(reader, member);
  }
}

/* ---- arrays and objects within ---- */

struct nest {
  char closing[JSON_DEPTH_MAX]; /* what ends each of the open ones */
  size_t depth;
};

static bool take_name(struct reader *reader, const char **name, size_t *length) {
  skip_space(reader);
  if (!take_string(reader, name, length)) return false;
  skip_space(reader);
  return take(reader, ':');
}

static bool skip_name(struct reader *reader) {
  const char *name;
  size_t length, used = reader->used;
  bool taken = take_name(reader, &name, &length);
  reader->used = used;
  return taken;
}

/* What may follow a value: commas and closing brackets. Afterwards either the next value begins, or all is
 * closed. */
static bool after_value(struct reader *reader, struct nest *nest) {
  while (nest->depth > 0) {
    skip_space(reader);
    if (peek(reader) == ',') {
      reader->at++;
      return nest->closing[nest->depth - 1] != '}' || skip_name(reader);
    }
    if (!take(reader, nest->closing[nest->depth - 1])) return false;
    nest->depth--;
  }
  return true;
}

/* An array or an object begins. *empty: it has ended as well. */
static bool open_nest(struct reader *reader, struct nest *nest, bool *empty) {
  if (nest->depth == JSON_DEPTH_MAX) return fail(reader, too_deep);
  char closing = peek(reader) == '{' ? '}' : ']';
  reader->at++;
  skip_space(reader);
  *empty = peek(reader) == (unsigned char)closing;
  if (*empty) {
    reader->at++;
    return true;
  }
  nest->closing[nest->depth++] = closing;
  return closing != '}' || skip_name(reader);
}

/* The value of a member, whatever is in it. */
static bool take_value(struct reader *reader, struct json_member *member) {
  struct nest nest = {.depth = 0};
  do {
    struct json_member inner = {.kind = JSON_OTHER};
    size_t used = reader->used;
    skip_space(reader);
    int c = peek(reader);
    if (c == '{' || c == '[') {
      bool empty = false;
      if (!open_nest(reader, &nest, &empty)) return false;
      if (!empty) continue;
    } else if (!take_scalar(reader, nest.depth == 0 ? member : &inner)) {
      return false;
    }
    if (nest.depth > 0) reader->used = used;
    if (!after_value(reader, &nest)) return false;
  } while (nest.depth > 0);
  return true;
}

/* ---- the object ---- */

static enum json_read read_members(struct reader *reader, json_member_taken taken, void *context) {
  for (;;) {
    struct json_member member = {.kind = JSON_OTHER};
    if (!take_name(reader, &member.name, &member.name_length) || !take_value(reader, &member))
      return JSON_READ_MALFORMED;
    if (!taken(context, &member)) return JSON_READ_STOPPED;
    skip_space(reader);
    if (peek(reader) != ',') break;
    reader->at++;
  }
  return take(reader, '}') ? JSON_READ : JSON_READ_MALFORMED;
}

static enum json_read read_object(struct reader *reader, json_member_taken taken, void *context) {
  enum json_read read = JSON_READ;
  skip_space(reader);
  if (peek(reader) != '{') return JSON_READ_NOT_AN_OBJECT;
  reader->at++;
  skip_space(reader);
  if (peek(reader) == '}')
    reader->at++;
  else
    read = read_members(reader, taken, context);
  if (read != JSON_READ) return read;
  skip_space(reader);
  return reader->at == reader->length || fail(reader, "unexpected character") ? JSON_READ
                                                                              : JSON_READ_MALFORMED;
}

enum json_read json_read_object(const char *text, size_t length, char *scratch, json_member_taken taken,
                                void *context, const char **what, size_t *at) {
  struct reader reader = {.text = text, .length = length, .scratch = scratch};
  enum json_read read = read_object(&reader, taken, context);
  *what = reader.wrong != NULL ? reader.wrong : "";
  *at = reader.at;
  return read == JSON_READ_MALFORMED && reader.wrong == too_deep ? JSON_READ_TOO_DEEP : read;
}
