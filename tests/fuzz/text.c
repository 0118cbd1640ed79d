/* What reads people's text: the beginning of a statement, UTF-8, numbers, and the text of failures.
 * Where there is a second way to the same result, both must agree. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "decimal.h"
#include "explain.h"
#include "failure.h"
#include "server.h"
#include "target.h"
#include "traceparent.h"
#include "utf8.h"

/* failure.c's only need; nothing is raised here. */
void server_raise(int error_id, int flags, ...) { (void)error_id, (void)flags; }

static char *with_prefix(const char *prefix, const uint8_t *bytes, size_t length) {
  size_t before = strlen(prefix);
  char *text = malloc(before + length + 1);
  require(text != NULL, "there is memory");
  memcpy(text, prefix, before);
  if (length > 0) memcpy(text + before, bytes, length);
  text[before + length] = '\0';
  return text;
}

static void read_statement(const uint8_t *bytes, size_t length) {
  static const char *const nothing[] = {" \t\r\n", "/* EXPLAIN */", "-- EXPLAIN\n", "#\n", "/**/"};
  bool plain = explain_only((const char *)bytes, length);
  for (size_t i = 0; i < sizeof nothing / sizeof nothing[0]; i++) {
    char *text = with_prefix(nothing[i], bytes, length);
    require(explain_only(text, strlen(nothing[i]) + length) == plain, "a comment before it changes nothing");
    free(text);
  }
}

/* The shortest form of a character; 0: it is none. RFC 3629, section 3, by its table of ranges. */
static size_t write_character(uint32_t c, uint8_t out[4]) {
  if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) return 0;
  size_t length = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  static const uint8_t marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
  for (size_t i = length - 1; i > 0; i--, c >>= 6) out[i] = (uint8_t)(0x80 | (c & 0x3f));
  out[0] = (uint8_t)(marks[length] | c);
  return length;
}

/* Reads a character without any check and writes it anew: valid is what comes out as it went in. */
static bool is_character(const uint8_t *at, size_t left, size_t *length) {
  *length = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
  if (*length > left) return false;
  uint32_t c = *length == 1 ? at[0] : at[0] & (0xffu >> (*length + 1));
  for (size_t i = 1; i < *length; i++) c = c << 6 | (at[i] & 0x3f);
  uint8_t again[4];
  return write_character(c, again) == *length && memcmp(again, at, *length) == 0;
}

static bool is_utf8(const uint8_t *bytes, size_t length) {
  size_t step = 0;
  for (size_t at = 0; at < length; at += step)
    if (!is_character(bytes + at, length - at, &step)) return false;
  return true;
}

static void read_number(const uint8_t *bytes, size_t length) {
  uint64_t number = 0;
  bool is_number = decimal_parse((const char *)bytes, length, &number);
  char *text = with_prefix("", bytes, length);
  errno = 0;
  bool digits = length > 0 && strspn(text, "0123456789") == length;
  uint64_t expected = digits ? strtoull(text, NULL, 10) : 0;
  require(is_number == (digits && errno == 0), "digits are a number unless it is too large");
  require(!is_number || number == expected, "it is the number that the C library reads");
  free(text);
}

/* Whether a terminal would obey a byte: the characters of more than one are failure_test.c's matter. */
static bool obeys(uint8_t c) { return c < 0x20 || c == 0x7f; }

static void show(const uint8_t *bytes, size_t length) {
  struct failure failure, again;
  failure_set(&failure, FAILURE_API, "%.*s", (int)length, (const char *)bytes);
  size_t shown = strlen(failure.text);
  require(is_utf8((const uint8_t *)failure.text, shown), "what is shown is UTF-8");
  for (size_t i = 0; i < shown; i++)
    require(!obeys((uint8_t)failure.text[i]), "what is shown steers nothing");
  failure_set(&again, FAILURE_API, "%s", failure.text);
  require(strcmp(failure.text, again.text) == 0, "what is clean stays as it is");
}

/* By reading it as numbers and writing those anew. */
static bool is_traceparent(const char *text) {
  unsigned long long high = 0, low = 0, parent = 0;
  unsigned int flags = 0;
  char again[64];
  if (sscanf(text, "00-%16llx%16llx-%16llx-%2x", &high, &low, &parent, &flags) != 4) return false;
  (void)snprintf(again, sizeof again, "00-%016llx%016llx-%016llx-%02x", high, low, parent, flags);
  return strcmp(text, again) == 0 && (high != 0 || low != 0) && parent != 0;
}

static void read_traceparent(const uint8_t *bytes, size_t length) {
  static const char good[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  char *text = with_prefix("", bytes, length), near[sizeof good];
  require(traceparent_is_valid(text) == is_traceparent(text), "a traceparent is what its parts make anew");
  free(text);
  /* One that is good but for a character. */
  memcpy(near, good, sizeof good);
  if (length >= 2) near[bytes[0] % (sizeof good - 1)] = (char)bytes[1];
  require(traceparent_is_valid(near) == is_traceparent(near), "so is one that is nearly good");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
  read_statement(bytes, length);
  require(utf8_is_valid((const char *)bytes, length) == is_utf8(bytes, length),
          "UTF-8 is what RFC 3629 says");
  read_number(bytes, length);
  show(bytes, length);
  read_traceparent(bytes, length);
  return 0;
}
