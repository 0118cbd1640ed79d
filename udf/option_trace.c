/* Reads one member of the options as the sidecar does: of several the last one counts, if it is well-formed.
 * Must not know what a trace is good for. */
#include "option_trace.h"

#include <stdlib.h>
#include <string.h>

#include "json_read.h"
#include "quotas.h"
#include "utf8.h"

static const char option[] = "traceparent";
#define OPTION_LENGTH (sizeof option - 1)

/* The context is the room of one. */
static bool take(void *context, const struct json_member *member) {
  char *found = context;
  if (member->name_length != OPTION_LENGTH || memcmp(member->name, option, OPTION_LENGTH) != 0) return true;
  found[0] = '\0';
  if (member->kind != JSON_STRING || member->length != TRACEPARENT_SIZE - 1) return true;
  memcpy(found, member->text, member->length);
  found[member->length] = '\0';
  return true;
}

void option_trace(struct slice options, char traceparent[TRACEPARENT_SIZE]) {
  char found[TRACEPARENT_SIZE] = "";
  const char *what;
  size_t at;
  if (options.length == 0 || options.length > QUOTA_OPTIONS_MAX) return;
  if (!utf8_is_valid(options.data, options.length)) return;
  char *scratch = malloc(options.length);
  if (scratch == NULL) return;
  if (json_read_object(options.data, options.length, scratch, take, found, &what, &at) == JSON_READ &&
      traceparent_is_valid(found))
    memcpy(traceparent, found, TRACEPARENT_SIZE);
  free(scratch);
}
