/* Turns a failure into the SQL error that the design's table promises.
 * Must not know what led to it. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "mysql_abi.h"
#include "server.h"
#include "utf8.h"

/* Aurora's name of the privilege in error 1227, to the letter. */
#define PRIVILEGE_NAME "Invoke Lambda"

/* Leaves printable UTF-8: what is not becomes '?', a character that was cut in the middle goes. */
static void clean_text(unsigned char *c, size_t left) {
  while (left > 0) {
    int length = utf8_character_length(c, left);
    if (length < 0) *c = '\0';
    if (length < 0) return;
    if (length == 0 || *c < 0x20 || *c == 0x7f) *c = '?';
    if (length == 0) length = 1;
    c += length;
    left -= (size_t)length;
  }
}

bool failure_set(struct failure *failure, enum failure_kind kind, const char *format, ...) {
  va_list arguments;
  failure->kind = kind;
  va_start(arguments, format);
  (void)vsnprintf(failure->text, sizeof failure->text, format, arguments);
  va_end(arguments);
  clean_text((unsigned char *)failure->text, strlen(failure->text));
  return false;
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
