/* The results of an aggregate in the order of its rows, though they come in any: a JSON array that grows as
 * far as all before is there, and never beyond a limit. Pure; knows nothing of how results come. */
#ifndef LAMBDA_UDF_GATHERED_H
#define LAMBDA_UDF_GATHERED_H

#include <stdbool.h>
#include <stddef.h>

#include "contract.h"
#include "json_write.h"

/* JSON that one or several places of the array hold, perhaps only later. */
struct piece {
  size_t users;   /* who holds it: each place that has not been written, and whoever made it */
  size_t waiting; /* of the places, those that were put in before it was filled */
  bool filled;
  struct bytes json;
  unsigned long long row; /* for which it was made, from 1 */
  unsigned int rows;      /* for so many, from that one on, with ", " between their JSON: 1 but for a batch */
  int note;               /* its maker's own */
};

struct gathered_place;

/* Zero is an empty array without a limit that anything could keep: begin with gathered_clear(). */
struct gathered {
  struct gathered_place *places; /* those that are not written yet */
  size_t first, count, room;
  struct bytes text; /* what is written */
  size_t certain;    /* bytes that the whole array has at least */
  size_t most;
  bool closed;
};

/* After everything but GATHERED nothing but gathered_free() may follow. */
enum gathering { GATHERED = 0, GATHERED_TOO_LONG, GATHERED_NO_MEMORY };

/* A piece for a row, its maker's. NULL: no memory. */
struct piece *piece_new(unsigned long long row);
/* One user less; frees the piece with its last one. NULL is fine. */
void piece_leave(struct piece *piece);

/* Begins a new array, which may have so many bytes; what the last one held is freed or used again. */
void gathered_clear(struct gathered *gathered, size_t most);

/* The next place: the piece, or with a key (JSON text) {"key": …, "result": …}. keyed: key counts. */
enum gathering gathered_add(struct gathered *gathered, struct piece *piece, bool keyed, struct slice key);

/* Fills a piece, which takes *json over; writes what can be written now. */
enum gathering gathered_fill(struct gathered *gathered, struct piece *piece, struct bytes *json);

/* The whole array, valid until the next gathered_clear(): every piece must have been filled. It may be asked
 * for again; nothing may be added any more. */
enum gathering gathered_finish(struct gathered *gathered, struct slice *array);

void gathered_free(struct gathered *gathered);

#endif
