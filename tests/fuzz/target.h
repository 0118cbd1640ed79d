/* The shape of a fuzz target: libFuzzer's, which driver.c has too for machines without it.
 * Knows nothing of what is tested. */
#ifndef LAMBDA_UDF_FUZZ_TARGET_H
#define LAMBDA_UDF_FUZZ_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The same bytes must always do the same. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* Ends the program, as a sanitizer's finding does, where something does not hold. */
static inline void require(bool holds, const char *what) {
  if (holds) return;
  (void)fprintf(stderr, "does not hold: %s\n", what);
  abort();
}

#endif
