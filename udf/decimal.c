/* Digits to a number.
 * Must not know what is counted. */
#include "decimal.h"

bool decimal_parse(const char *text, size_t length, uint64_t *number) {
  uint64_t sum = 0;
  if (length == 0) return false;
  for (size_t i = 0; i < length; i++) {
    if (text[i] < '0' || text[i] > '9') return false;
    uint64_t digit = (uint64_t)(text[i] - '0');
    if (sum > (UINT64_MAX - digit) / 10) return false;
    sum = sum * 10 + digit;
  }
  *number = sum;
  return true;
}
