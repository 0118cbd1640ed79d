/* JSON text as RFC 8259 defines it.
 * Must not know where the values come from. */
#include "json_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

/* Of the first allocation: a short value. */
#define FIRST_SIZE 64
/* -1.7976931348623157e+308 has 24 characters, 18446744073709551615 has 20. */
#define NUMBER_SIZE 40
/* Every whole number up to 2^53 is a double of its own; every decimal of at most so many digits behind the
 * point is worth a division, which is cheaper than printing and reading. */
#define WHOLE_MAX 9007199254740992.0
#define DECIMALS_MAX 8
/* Digits that tell every double from every other (IEEE 754, binary64): between these two. */
#define DIGITS_MIN 15
#define DIGITS_MAX 17

bool bytes_reserve(struct bytes *bytes, size_t more) {
  if (more <= bytes->size - bytes->length) return true;
  if (more > SIZE_MAX / 4 - bytes->length) return false;
  size_t size = bytes->size < FIRST_SIZE ? FIRST_SIZE : bytes->size;
  while (size - bytes->length < more) size *= 2;
  char *data = realloc(bytes->data, size);
  if (data == NULL) return false;
  bytes->data = data;
  bytes->size = size;
  return true;
}

bool bytes_add(struct bytes *bytes, const char *data, size_t length) {
  if (!bytes_reserve(bytes, length)) return false;
  if (length > 0) memcpy(bytes->data + bytes->length, data, length);
  bytes->length += length;
  return true;
}

bool bytes_add_text(struct bytes *bytes, const char *text) { return bytes_add(bytes, text, strlen(text)); }

void bytes_free(struct bytes *bytes) {
  free(bytes->data);
  *bytes = (struct bytes){.data = NULL};
}

static enum json_written added(struct bytes *bytes, const char *text, size_t length) {
  return bytes_add(bytes, text, length) ? WRITTEN : WRITTEN_NO_MEMORY;
}

/* ---- strings ---- */

/* The bytes from text on that are ASCII and need no escape. */
static size_t plain_run(const unsigned char *text, size_t length) {
  size_t run = 0;
  while (run < length && text[run] >= 0x20 && text[run] < 0x80 && text[run] != '"' && text[run] != '\\')
    run++;
  return run;
}

static enum json_written add_escape(struct bytes *bytes, unsigned char character) {
  static const char named[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt", digits[] = "0123456789abcdef";
  char escape[] = "\\u0000";
  const char *found = character == '\0' ? NULL : strchr(named, character);
  if (found != NULL) {
    escape[1] = names[found - named];
    return added(bytes, escape, 2);
  }
  escape[4] = digits[character >> 4];
  escape[5] = digits[character & 15];
  return added(bytes, escape, sizeof escape - 1);
}

static enum json_written add_text(struct bytes *bytes, const unsigned char *next, size_t left) {
  while (left > 0) {
    size_t run = plain_run(next, left);
    if (run == 0 && *next >= 0x80) {
      int step = utf8_character_length(next, left);
      if (step <= 0) return WRITTEN_NOT_UTF8;
      run = (size_t)step;
    }
    enum json_written written = run > 0 ? added(bytes, (const char *)next, run) : add_escape(bytes, *next);
    if (written != WRITTEN) return written;
    run = run > 0 ? run : 1;
    next += run;
    left -= run;
  }
  return added(bytes, "\"", 1);
}

enum json_written json_write_string(struct bytes *bytes, const char *text, size_t length) {
  size_t before = bytes->length;
  enum json_written written = WRITTEN_NO_MEMORY;
  if (length <= SIZE_MAX / 8 && bytes_reserve(bytes, length + 2)) {
    bytes->data[bytes->length++] = '"';
    written = add_text(bytes, (const unsigned char *)text, length);
  }
  if (written != WRITTEN) bytes->length = before;
  return written;
}

enum json_written json_write_base64(struct bytes *bytes, const void *data, size_t length) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const unsigned char *next = data;
  if (length > SIZE_MAX / 8 || !bytes_reserve(bytes, (length + 2) / 3 * 4 + 2)) return WRITTEN_NO_MEMORY;
  char *to = bytes->data + bytes->length;
  *to++ = '"';
  for (size_t left = length; left > 0;) {
    size_t group = left < 3 ? left : 3;
    uint32_t bits = (uint32_t)next[0] << 16;
    if (group > 1) bits |= (uint32_t)next[1] << 8;
    if (group > 2) bits |= next[2];
    *to++ = digits[bits >> 18];
    *to++ = digits[bits >> 12 & 63];
    *to++ = '=';
    *to++ = '=';
    if (group > 1) to[-2] = digits[bits >> 6 & 63];
    if (group > 2) to[-1] = digits[bits & 63];
    next += group;
    left -= group;
  }
  *to++ = '"';
  bytes->length = (size_t)(to - bytes->data);
  return WRITTEN;
}

/* ---- numbers ---- */

/* Writes the digits before end; returns where they begin. */
static char *digits_before(char *end, uint64_t number) {
  do {
    *--end = (char)('0' + number % 10);
    number /= 10;
  } while (number > 0);
  return end;
}

enum json_written json_write_unsigned(struct bytes *bytes, uint64_t number) {
  char text[NUMBER_SIZE];
  char *end = text + sizeof text, *begin = digits_before(end, number);
  return added(bytes, begin, (size_t)(end - begin));
}

enum json_written json_write_integer(struct bytes *bytes, int64_t number) {
  char text[NUMBER_SIZE];
  char *end = text + sizeof text;
  char *begin = digits_before(end, number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
  if (number < 0) *--begin = '-';
  return added(bytes, begin, (size_t)(end - begin));
}

/* A number that is a decimal of few digits, as most are in tables. Both operands of the division are exact,
 * so its result is the double that the decimal reads as (IEEE 754: correctly rounded). The length of the
 * text; 0: it is none of those. */
static size_t short_decimal(char text[NUMBER_SIZE], double number) {
  double size = signbit(number) ? -number : number, power = 1;
  for (int decimals = 0; decimals <= DECIMALS_MAX; decimals++, power *= 10) {
    if (size * power >= WHOLE_MAX) return 0;
    uint64_t whole = (uint64_t)(size * power + 0.5);
    if ((double)whole / power != size) continue;
    char *end = text + NUMBER_SIZE, *begin = digits_before(end, whole);
    if (decimals > 0) {
      while (end - begin <= decimals) *--begin = '0';
      memmove(begin - 1, begin, (size_t)(end - begin - decimals));
      begin--;
      end[-decimals - 1] = '.';
    }
    if (signbit(number)) *--begin = '-';
    size_t length = (size_t)(end - begin);
    memmove(text, begin, length);
    return length;
  }
  return 0;
}

/* The program's locale may have another decimal point, of several bytes too. */
static size_t with_point(char *text) {
  size_t length = 0;
  for (const char *next = text; *next != '\0'; next++) {
    bool is_number = strchr("0123456789+-e", *next) != NULL;
    if (is_number)
      text[length++] = *next;
    else if (length == 0 || text[length - 1] != '.')
      text[length++] = '.';
  }
  return length;
}

enum json_written json_write_double(struct bytes *bytes, double number) {
  char text[NUMBER_SIZE];
  if (!isfinite(number)) return WRITTEN_NOT_A_NUMBER;
  size_t length = short_decimal(text, number);
  if (length > 0) return added(bytes, text, length);
  for (int digits = DIGITS_MIN; digits <= DIGITS_MAX; digits++) {
    (void)snprintf(text, sizeof text, "%.*g", digits, number);
    if (digits == DIGITS_MAX || strtod(text, NULL) == number) break;
  }
  return added(bytes, text, with_point(text));
}

static size_t digit_run(const char *text, size_t length) {
  size_t run = 0;
  while (run < length && text[run] >= '0' && text[run] <= '9') run++;
  return run;
}

/* The length of a fraction or an exponent at text; 0: there is none, or not a whole one. */
static size_t fraction(const char *text, size_t length) {
  if (length < 2 || text[0] != '.') return 0;
  size_t run = digit_run(text + 1, length - 1);
  return run > 0 ? run + 1 : 0;
}

static size_t exponent(const char *text, size_t length) {
  if (length < 2 || (text[0] != 'e' && text[0] != 'E')) return 0;
  size_t sign = text[1] == '+' || text[1] == '-' ? 1 : 0;
  size_t run = digit_run(text + 1 + sign, length - 1 - sign);
  return run > 0 ? run + 1 + sign : 0;
}

enum json_written json_write_digits(struct bytes *bytes, const char *digits, size_t length) {
  bool negative = length > 0 && digits[0] == '-';
  size_t at = negative ? 1 : 0, before = bytes->length;
  size_t whole = digit_run(digits + at, length - at), rest = at + whole;
  rest += fraction(digits + rest, length - rest);
  rest += exponent(digits + rest, length - rest);
  if (whole == 0 || rest != length) return WRITTEN_NOT_A_NUMBER;
  for (; whole > 1 && digits[at] == '0'; whole--) at++;
  if ((negative && !bytes_add(bytes, "-", 1)) || !bytes_add(bytes, digits + at, length - at)) {
    bytes->length = before;
    return WRITTEN_NO_MEMORY;
  }
  return WRITTEN;
}
