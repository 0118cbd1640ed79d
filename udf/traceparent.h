/* The traceparent of a W3C Trace Context (https://www.w3.org/TR/trace-context/, version 00), as text:
 * 00-<trace id>-<parent id>-<flags>. Pure; knows nothing of where it comes from. */
#ifndef LAMBDA_UDF_TRACEPARENT_H
#define LAMBDA_UDF_TRACEPARENT_H

#include <stdbool.h>

/* With its NUL. */
#define TRACEPARENT_SIZE 56
/* Where the trace id stands, and how many characters it has. */
#define TRACEPARENT_ID_AT 3
#define TRACEPARENT_ID_LENGTH 32

/* Whether the text is one, to the last character: digits are hexadecimal and in lower case, neither id is all
 * zeros. Versions after 00 may have other forms, and count as none. */
bool traceparent_is_valid(const char *text);

#endif
