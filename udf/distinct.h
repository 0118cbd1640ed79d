/* Remembers for what something was made already: equal texts are found again, by their hash and then byte by
 * byte. Pure; knows neither what the texts are nor what was made. */
#ifndef LAMBDA_UDF_DISTINCT_H
#define LAMBDA_UDF_DISTINCT_H

#include <stdbool.h>
#include <stddef.h>

#include "contract.h"

struct distinct_entry;

/* Zero is an empty one. */
struct distinct {
  struct distinct_entry **heads;
  size_t room; /* a power of two, or 0 */
  size_t count;
};

/* What is compared: texts one after the other, each with its length. */
#define DISTINCT_PARTS 6

/* The place of what was made for such texts, which holds NULL if they are new: they have been copied then.
 * NULL: no memory. Valid until the next call. */
void **distinct_find(struct distinct *distinct, const struct slice parts[DISTINCT_PARTS]);

/* Frees all; leave gets each thing that was made and is not NULL. */
void distinct_free(struct distinct *distinct, void (*leave)(void *made));

#endif
