/* UTF-8 as RFC 3629 defines it, section 4.
 * Must not know what the text is for. */
#include "utf8.h"

int utf8_character_length(const unsigned char *text, size_t left) {
  unsigned char first = text[0];
  int length = first < 0x80   ? 1
               : first < 0xc2 ? 0
               : first < 0xe0 ? 2
               : first < 0xf0 ? 3
               : first < 0xf5 ? 4
                              : 0;
  for (int i = 1; i < length; i++) {
    if ((size_t)i >= left) return -1;
    if ((text[i] & 0xc0) != 0x80) return 0;
  }
  /* Overlong forms, surrogates, and what lies beyond U+10FFFF. */
  if ((first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] > 0x9f)) return 0;
  if ((first == 0xf0 && text[1] < 0x90) || (first == 0xf4 && text[1] > 0x8f)) return 0;
  return length;
}

bool utf8_is_valid(const char *text, size_t length) {
  const unsigned char *next = (const unsigned char *)text;
  while (length > 0) {
    int step = utf8_character_length(next, length);
    if (step <= 0) return false;
    next += step;
    length -= (size_t)step;
  }
  return true;
}
