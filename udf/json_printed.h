/* Recognises JSON text as MySQL prints values of its type JSON. Pure. */
#ifndef LAMBDA_UDF_JSON_PRINTED_H
#define LAMBDA_UDF_JSON_PRINTED_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a text is one JSON value, in the very form in which MySQL prints it: ", " and ": " between values
 * and no other white space (refman: The JSON Data Type, "Normalization"), at most 100 levels deep (error
 * 3157), in UTF-8. So JSON that somebody wrote into a text column is mostly not. */
bool json_is_printed(const char *text, size_t length);

#endif
