/* Pieces in the order of their places, and the array that they become.
 * Must not know what the pieces are. */
#include "gathered.h"

#include <stdlib.h>
#include <string.h>

#define OPEN "["
#define CLOSE "]"
#define BETWEEN ", "
#define KEY "{\"key\": "
#define RESULT ", \"result\": "
#define END "}"
/* The bytes that a literal has. */
#define LENGTH(literal) (sizeof(literal) - 1)

struct gathered_place {
  struct piece *piece;
  struct slice key; /* its own memory; data NULL: none */
};

struct piece *piece_new(unsigned long long row) {
  struct piece *piece = malloc(sizeof *piece);
  if (piece != NULL) *piece = (struct piece){.users = 1, .row = row, .rows = 1};
  return piece;
}

void piece_leave(struct piece *piece) {
  if (piece == NULL || --piece->users > 0) return;
  bytes_free(&piece->json);
  free(piece);
}

/* ---- places ---- */

static void leave_place(struct gathered_place *place) {
  piece_leave(place->piece);
  free((void *)(uintptr_t)place->key.data);
}

static void drop_places(struct gathered *gathered) {
  for (size_t i = 0; i < gathered->count; i++) {
    struct gathered_place *place = &gathered->places[gathered->first + i];
    if (!place->piece->filled) place->piece->waiting--;
    leave_place(place);
  }
  gathered->first = gathered->count = 0;
}

/* The places that are written stand at the front until they are as many as the others. */
static bool has_room_for_one(struct gathered *gathered) {
  if (gathered->first + gathered->count < gathered->room) return true;
  if (gathered->first > 0 && gathered->first >= gathered->count) {
    memmove(gathered->places, gathered->places + gathered->first, gathered->count * sizeof *gathered->places);
    gathered->first = 0;
    return true;
  }
  size_t room = gathered->room == 0 ? 64 : 2 * gathered->room;
  struct gathered_place *more = realloc(gathered->places, room * sizeof *more);
  if (more == NULL) return false;
  gathered->places = more;
  gathered->room = room;
  return true;
}

/* ---- writing ---- */

/* So many bytes more will be in the array for certain. */
static bool fits(struct gathered *gathered, size_t more) {
  if (more > gathered->most - gathered->certain) return false;
  gathered->certain += more;
  return true;
}

static bool write(struct gathered *gathered, const char *text, size_t length) {
  return bytes_add(&gathered->text, text, length);
}

static bool write_place(struct gathered *gathered, const struct gathered_place *place) {
  const struct bytes *json = &place->piece->json;
  if (gathered->text.length > LENGTH(OPEN) && !write(gathered, BETWEEN, LENGTH(BETWEEN))) return false;
  if (place->key.data == NULL) return write(gathered, json->data, json->length);
  return write(gathered, KEY, LENGTH(KEY)) && write(gathered, place->key.data, place->key.length) &&
         write(gathered, RESULT, LENGTH(RESULT)) && write(gathered, json->data, json->length) &&
         write(gathered, END, LENGTH(END));
}

/* Everything whose turn has come. */
static enum gathering advance(struct gathered *gathered) {
  while (gathered->count > 0 && gathered->places[gathered->first].piece->filled) {
    struct gathered_place *place = &gathered->places[gathered->first];
    if (!write_place(gathered, place)) return GATHERED_NO_MEMORY;
    leave_place(place);
    gathered->first++;
    gathered->count--;
  }
  return GATHERED;
}

/* ---- from outside ---- */

void gathered_clear(struct gathered *gathered, size_t most) {
  drop_places(gathered);
  gathered->most = most;
  gathered->certain = 0;
  gathered->closed = false;
  gathered->text.length = 0;
}

static bool copy_key(struct slice *copy, struct slice key) {
  char *data = malloc(key.length > 0 ? key.length : 1);
  if (data == NULL) return false;
  if (key.length > 0) memcpy(data, key.data, key.length);
  *copy = (struct slice){.data = data, .length = key.length};
  return true;
}

/* Of the first place the bracket counts, of the others what parts them. */
static size_t certain_of(const struct gathered *gathered, const struct piece *piece, bool keyed,
                         struct slice key) {
  size_t more = gathered->certain == 0 ? LENGTH(OPEN) + LENGTH(CLOSE) : LENGTH(BETWEEN);
  if (keyed) more += LENGTH(KEY) + key.length + LENGTH(RESULT) + LENGTH(END);
  return more + piece->json.length;
}

enum gathering gathered_add(struct gathered *gathered, struct piece *piece, bool keyed, struct slice key) {
  struct gathered_place place = {.piece = piece};
  if (!fits(gathered, certain_of(gathered, piece, keyed, key))) return GATHERED_TOO_LONG;
  if (gathered->text.length == 0 && !write(gathered, OPEN, LENGTH(OPEN))) return GATHERED_NO_MEMORY;
  if (!has_room_for_one(gathered) || (keyed && !copy_key(&place.key, key))) return GATHERED_NO_MEMORY;
  piece->users++;
  if (!piece->filled) piece->waiting++;
  gathered->places[gathered->first + gathered->count++] = place;
  return advance(gathered);
}

enum gathering gathered_fill(struct gathered *gathered, struct piece *piece, struct bytes *json) {
  piece->json = *json;
  piece->filled = true;
  *json = (struct bytes){.data = NULL};
  size_t waiting = piece->waiting, length = piece->json.length;
  piece->waiting = 0;
  if (length > 0 && waiting > gathered->most / length) return GATHERED_TOO_LONG;
  return fits(gathered, waiting * length) ? advance(gathered) : GATHERED_TOO_LONG;
}

enum gathering gathered_finish(struct gathered *gathered, struct slice *array) {
  if (gathered->text.length == 0 && !write(gathered, OPEN, LENGTH(OPEN))) return GATHERED_NO_MEMORY;
  /* The server looks for a NUL behind a string's last byte (String::c_ptr). */
  if (!gathered->closed && !write(gathered, CLOSE, sizeof CLOSE)) return GATHERED_NO_MEMORY;
  gathered->closed = true;
  *array = (struct slice){.data = gathered->text.data, .length = gathered->text.length - 1};
  return GATHERED;
}

void gathered_free(struct gathered *gathered) {
  drop_places(gathered);
  free(gathered->places);
  bytes_free(&gathered->text);
  *gathered = (struct gathered){.most = 0};
}
