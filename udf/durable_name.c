/* Reads one member of the options, and believes it only if nobody can read it in another way.
 * Must not know what a name is good for. */
#include "durable_name.h"

#include <stdlib.h>
#include <string.h>

#include "json_read.h"

static const char option[] = "durable_execution_name";
#define OPTION_LENGTH (sizeof option - 1)

struct found {
  struct slice name;
  char *room;
};

static bool is_name(const char *text, size_t length) {
  static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
  if (length == 0 || length > DURABLE_NAME_MAX) return false;
  for (size_t i = 0; i < length; i++)
    if (text[i] == '\0' || strchr(allowed, text[i]) == NULL) return false;
  return true;
}

/* False where the option stands twice or is no name. */
static bool take(void *context, const struct json_member *member) {
  struct found *found = context;
  if (member->name_length != OPTION_LENGTH || memcmp(member->name, option, OPTION_LENGTH) != 0) return true;
  if (found->name.length > 0 || member->kind != JSON_STRING || !is_name(member->text, member->length))
    return false;
  memcpy(found->room, member->text, member->length);
  found->name = (struct slice){.data = found->room, .length = member->length};
  return true;
}

struct slice durable_name(struct slice options, char room[DURABLE_NAME_MAX]) {
  const struct slice none = {.data = NULL};
  struct found found = {.room = room};
  const char *what;
  size_t at;
  /* Options without it are not read. */
  if (options.length == 0 || memmem(options.data, options.length, option, OPTION_LENGTH) == NULL) return none;
  char *scratch = malloc(options.length);
  if (scratch == NULL) return none;
  enum json_read read = json_read_object(options.data, options.length, scratch, take, &found, &what, &at);
  free(scratch);
  return read == JSON_READ ? found.name : none;
}
