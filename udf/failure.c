/* Makes a failure's text fit to be shown, and raises the SQL error that docs/errors.md has for its kind.
 * Must not know what led to it. */
#include "failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "mysql_abi.h"
#include "server.h"
#include "utf8.h"

/* Aurora's name of the privilege in error 1227, to the letter. */
#define PRIVILEGE_NAME "Invoke Lambda"

/* Whether a log or a terminal would obey the character of so many bytes instead of showing it: controls (C0,
 * DEL, C1), what turns the direction of writing or has no width, and what ends a line or a paragraph. */
static bool steers(const unsigned char *c, int length) {
  if (length == 1) return c[0] < 0x20 || c[0] == 0x7f;
  if (length == 2)
    return (c[0] == 0xc2 && c[1] < 0xa0) || (c[0] == 0xd8 && c[1] == 0x9c); /* U+0080–9F, U+061C */
  if (length != 3) return false;
  if (c[0] == 0xef) return c[1] == 0xbb && c[2] == 0xbf; /* U+FEFF */
  if (c[0] != 0xe2) return false;
  if (c[1] == 0x80)
    return (c[2] >= 0x8b && c[2] <= 0x8f) || (c[2] >= 0xa8 && c[2] <= 0xae); /* U+200B–F, 2028–E */
  return c[1] == 0x81 && c[2] >= 0xa0 && c[2] <= 0xaf;                       /* U+2060–F */
}

/* Leaves UTF-8 that is only shown: the rest becomes '?', a character that was cut in the middle goes. So does
 * what has four bytes: MySQL's messages are utf8mb3, which has no such characters, and where they stand in
 * one clients read each of their bytes as a character of its own. MySQL writes '?' for them, too. */
static void clean_text(unsigned char *text, size_t left) {
  unsigned char *kept = text;
  while (left > 0) {
    int length = utf8_character_length(text, left);
    if (length < 0) break;
    if (length == 0 || length == 4 || steers(text, length)) {
      *kept++ = '?';
      if (length == 0) length = 1;
    } else {
      memmove(kept, text, (size_t)length);
      kept += length;
    }
    text += length;
    left -= (size_t)length;
  }
  *kept = '\0';
}

static const char nothing_to_show[] = "no reason that can be shown";

bool failure_set(struct failure *failure, enum failure_kind kind, const char *format, ...) {
  va_list arguments;
  failure->kind = kind;
  va_start(arguments, format);
  (void)vsnprintf(failure->text, sizeof failure->text, format, arguments);
  va_end(arguments);
  clean_text((unsigned char *)failure->text, strlen(failure->text));
  /* What comes from the sidecar may begin with a NUL, or be half a character. */
  if (failure->text[0] == '\0') memcpy(failure->text, nothing_to_show, sizeof nothing_to_show);
  return false;
}

void failure_end_with(struct failure *failure, const char *ending) {
  size_t room = sizeof failure->text - 1 - strlen(ending), length = strlen(failure->text);
  if (length > room) clean_text((unsigned char *)failure->text, room); /* no half of a character stays */
  memcpy(failure->text + strlen(failure->text), ending, strlen(ending) + 1);
}

const char *failure_name(enum failure_kind kind) {
  static const char *const names[FAILURE_KIND_COUNT] = {
      [FAILURE_PRIVILEGE] = "privilege",     [FAILURE_ARGUMENT] = "argument",
      [FAILURE_DENIED] = "denied",           [FAILURE_API] = "api",
      [FAILURE_FUNCTION] = "function",       [FAILURE_UNAVAILABLE] = "unavailable",
      [FAILURE_TIMEOUT] = "timeout",         [FAILURE_OVERLOADED] = "overloaded",
      [FAILURE_KILLED] = "killed",           [FAILURE_QUERY_TIME] = "query_time",
      [FAILURE_CLIENT_GONE] = "client_gone", [FAILURE_SERVER] = "server",
  };
  return names[kind];
}

void failure_raise(const struct failure *failure, const char *function) {
  switch (failure->kind) {
    case FAILURE_PRIVILEGE:
      server_raise(ER_SPECIFIC_ACCESS_DENIED_ERROR, 0, PRIVILEGE_NAME);
      return;
    case FAILURE_KILLED:
      /* Fatal, as the server's own: a CONTINUE HANDLER must not swallow a KILL. */
      server_raise(ER_QUERY_INTERRUPTED, ME_FATALERROR);
      return;
    case FAILURE_QUERY_TIME:
      server_raise(ER_QUERY_TIMEOUT, ME_FATALERROR);
      return;
    case FAILURE_CLIENT_GONE:
      /* Not 1317: without a KILL the server writes a statement that failed with it to the binary log as if it
       * had succeeded (sql/binlog.cc, query_error_code): a replica would go on with other rows. */
      server_raise(ER_UDF_ERROR, ME_FATALERROR, function, failure->text);
      return;
    default:
      server_raise(ER_UDF_ERROR, 0, function, failure->text);
  }
}
