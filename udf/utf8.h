/* UTF-8 as RFC 3629 defines it. Pure; knows nothing of what the text is. */
#ifndef LAMBDA_UDF_UTF8_H
#define LAMBDA_UDF_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* The bytes of the character that starts at text, of which left bytes are there (at least 1); 0 if none
 * starts there, -1 if the text ends inside one. */
int utf8_character_length(const unsigned char *text, size_t left);

/* Whether the whole of it is UTF-8. */
bool utf8_is_valid(const char *text, size_t length);

#endif
