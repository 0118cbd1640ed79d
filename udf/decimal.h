/* Unsigned decimal numbers in text. glibc's strtoul() is not used: headers from 2.38 on turn it into
 * __isoc23_strtoul, which no older glibc has. Pure, so that it is fuzzed (tests/fuzz). */
#ifndef LAMBDA_UDF_DECIMAL_H
#define LAMBDA_UDF_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Parses digits alone, all of them: no sign, no space. False for anything else, and above UINT64_MAX. */
bool decimal_parse(const char *text, size_t length, uint64_t *number);

#endif
