/* The form of a W3C traceparent.
 * Must not know what a trace is used for. */
#include "traceparent.h"

#include <string.h>

#define PARENT_AT 36
#define PARENT_LENGTH 16
#define FLAGS_AT 53
#define FLAGS_LENGTH 2

static bool is_hex(const char *text, size_t length) { return strspn(text, "0123456789abcdef") >= length; }

/* An id of zeros alone is invalid. */
static bool is_id(const char *text, size_t length) {
  return is_hex(text, length) && strspn(text, "0") < length;
}

bool traceparent_is_valid(const char *text) {
  return strlen(text) == TRACEPARENT_SIZE - 1 && strncmp(text, "00-", TRACEPARENT_ID_AT) == 0 &&
         is_id(text + TRACEPARENT_ID_AT, TRACEPARENT_ID_LENGTH) && text[PARENT_AT - 1] == '-' &&
         is_id(text + PARENT_AT, PARENT_LENGTH) && text[FLAGS_AT - 1] == '-' &&
         is_hex(text + FLAGS_AT, FLAGS_LENGTH);
}
