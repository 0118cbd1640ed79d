/* A hash table with chains that only grows.
 * Must not know what it finds. */
#include "distinct.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct distinct_entry {
  struct distinct_entry *next;
  uint64_t hash;
  void *made;
  size_t lengths[DISTINCT_PARTS];
  char bytes[]; /* all parts */
};

/* FNV-1a with 64 bits (Fowler, Noll, Vo). Whoever finds collisions makes his own statement slow. */
static uint64_t hash_of(const struct slice parts[DISTINCT_PARTS]) {
  uint64_t hash = UINT64_C(14695981039346656037);
  for (int i = 0; i < DISTINCT_PARTS; i++) {
    for (size_t at = 0; at < parts[i].length; at++)
      hash = (hash ^ (unsigned char)parts[i].data[at]) * UINT64_C(1099511628211);
    hash = (hash ^ 0x100) * UINT64_C(1099511628211); /* where a part ends */
  }
  return hash ^ hash >> 32;
}

static bool equals(const struct distinct_entry *entry, const struct slice parts[DISTINCT_PARTS]) {
  const char *bytes = entry->bytes;
  for (int i = 0; i < DISTINCT_PARTS; i++) {
    if (entry->lengths[i] != parts[i].length) return false;
    if (parts[i].length > 0 && memcmp(bytes, parts[i].data, parts[i].length) != 0) return false;
    bytes += parts[i].length;
  }
  return true;
}

/* NULL: no memory. */
static struct distinct_entry *new_entry(uint64_t hash, const struct slice parts[DISTINCT_PARTS]) {
  size_t length = 0;
  for (int i = 0; i < DISTINCT_PARTS; i++) length += parts[i].length;
  struct distinct_entry *entry = malloc(sizeof *entry + length);
  if (entry == NULL) return NULL;
  char *to = entry->bytes;
  *entry = (struct distinct_entry){.hash = hash};
  for (int i = 0; i < DISTINCT_PARTS; i++) {
    entry->lengths[i] = parts[i].length;
    if (parts[i].length > 0) memcpy(to, parts[i].data, parts[i].length);
    to += parts[i].length;
  }
  return entry;
}

static void chain(struct distinct_entry **heads, size_t room, struct distinct_entry *entry) {
  struct distinct_entry **head = &heads[entry->hash & (room - 1)];
  entry->next = *head;
  *head = entry;
}

/* False: no memory. */
static bool grow(struct distinct *distinct) {
  if (distinct->count < distinct->room) return true;
  size_t room = distinct->room == 0 ? 64 : 2 * distinct->room;
  struct distinct_entry **heads = calloc(room, sizeof *heads);
  if (heads == NULL) return false;
  for (size_t i = 0; i < distinct->room; i++) {
    struct distinct_entry *next;
    for (struct distinct_entry *entry = distinct->heads[i]; entry != NULL; entry = next) {
      next = entry->next;
      chain(heads, room, entry);
    }
  }
  free(distinct->heads);
  distinct->heads = heads;
  distinct->room = room;
  return true;
}

void **distinct_find(struct distinct *distinct, const struct slice parts[DISTINCT_PARTS]) {
  if (!grow(distinct)) return NULL;
  uint64_t hash = hash_of(parts);
  struct distinct_entry *entry = distinct->heads[hash & (distinct->room - 1)];
  for (; entry != NULL; entry = entry->next)
    if (entry->hash == hash && equals(entry, parts)) return &entry->made;
  entry = new_entry(hash, parts);
  if (entry == NULL) return NULL;
  chain(distinct->heads, distinct->room, entry);
  distinct->count++;
  return &entry->made;
}

void distinct_free(struct distinct *distinct, void (*leave)(void *made)) {
  for (size_t i = 0; i < distinct->room; i++) {
    struct distinct_entry *next;
    for (struct distinct_entry *entry = distinct->heads[i]; entry != NULL; entry = next) {
      next = entry->next;
      if (entry->made != NULL) leave(entry->made);
      free(entry);
    }
  }
  free(distinct->heads);
  *distinct = (struct distinct){.heads = NULL};
}
