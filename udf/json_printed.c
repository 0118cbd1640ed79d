/* A reader of JSON that keeps nothing of what it reads and does not recurse.
 * Must not know what the text is for. */
#include "json_printed.h"

#include <stdint.h>
#include <string.h>

#include "utf8.h"

/* sql-common/json_dom.h: JSON_DOCUMENT_MAX_DEPTH */
#define DEPTH_MAX 100

struct reader {
  const char *next, *end;
  size_t depth;
  bool is_object[DEPTH_MAX]; /* what each level is */
};

static bool take(struct reader *reader, const char *text) {
  size_t length = strlen(text);
  if ((size_t)(reader->end - reader->next) < length || memcmp(reader->next, text, length) != 0) return false;
  reader->next += length;
  return true;
}

static bool is_hexadecimal(char character) {
  return character != '\0' && strchr("0123456789abcdefABCDEF", character) != NULL;
}

static bool take_escape(struct reader *reader) {
  if (reader->next == reader->end) return false;
  char kind = *reader->next++;
  if (kind != 'u') return kind != '\0' && strchr("\"\\/bfnrt", kind) != NULL;
  if (reader->end - reader->next < 4) return false;
  for (int i = 0; i < 4; i++)
    if (!is_hexadecimal(*reader->next++)) return false;
  return true;
}

/* A character beyond ASCII. */
static bool take_wide(struct reader *reader) {
  int length =
      utf8_character_length((const unsigned char *)reader->next, (size_t)(reader->end - reader->next));
  if (length <= 0) return false;
  reader->next += length;
  return true;
}

static bool take_string(struct reader *reader) {
  if (!take(reader, "\"")) return false;
  while (reader->next < reader->end) {
    unsigned char character = (unsigned char)*reader->next;
    if (character >= 0x80) {
      if (!take_wide(reader)) return false;
      continue;
    }
    reader->next++;
    if (character == '"') return true;
    if (character < 0x20 || (character == '\\' && !take_escape(reader))) return false;
  }
  return false;
}

static bool take_digits(struct reader *reader) {
  const char *begin = reader->next;
  while (reader->next < reader->end && *reader->next >= '0' && *reader->next <= '9') reader->next++;
  return reader->next > begin;
}

static bool take_number(struct reader *reader) {
  (void)take(reader, "-");
  if (!take(reader, "0") && !take_digits(reader)) return false;
  if (take(reader, ".") && !take_digits(reader)) return false;
  if (!take(reader, "e") && !take(reader, "E")) return true;
  if (!take(reader, "+")) (void)take(reader, "-");
  return take_digits(reader);
}

static bool take_scalar(struct reader *reader) {
  if (reader->next == reader->end) return false;
  if (*reader->next == '"') return take_string(reader);
  return take(reader, "null") || take(reader, "true") || take(reader, "false") || take_number(reader);
}

/* The key of an object's next value. */
static bool take_key(struct reader *reader) { return take_string(reader) && take(reader, ": "); }

/* One value, or only its beginning if it has values in it: then there is a level more. */
static bool begin_value(struct reader *reader) {
  if (take(reader, "{}") || take(reader, "[]")) return true;
  bool is_object = take(reader, "{");
  if (!is_object && !take(reader, "[")) return take_scalar(reader);
  if (reader->depth == DEPTH_MAX) return false;
  reader->is_object[reader->depth++] = is_object;
  return (!is_object || take_key(reader)) && reader->next < reader->end;
}

bool json_is_printed(const char *text, size_t length) {
  struct reader reader = {.next = text, .end = text + length};
  for (;;) {
    size_t depth = reader.depth;
    if (!begin_value(&reader)) return false;
    if (reader.depth > depth) continue;
    while (reader.depth > 0 && take(&reader, reader.is_object[reader.depth - 1] ? "}" : "]")) reader.depth--;
    if (reader.depth == 0) return reader.next == reader.end;
    if (!take(&reader, ", ") || (reader.is_object[reader.depth - 1] && !take_key(&reader))) return false;
  }
}
