/* Recognises the text of a statement that is an EXPLAIN and executes nothing.
 * Pure, so that it is fuzzed (tests/fuzz); knows nothing of the server or of calls. */
#ifndef LAMBDA_UDF_EXPLAIN_H
#define LAMBDA_UDF_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>

/* text need not end with NUL. True only where it is certain: EXPLAIN, DESCRIBE or DESC before a statement,
 * and no ANALYZE, which executes it (sql/sql_yacc.yy: explain_stmt). False in doubt, as for a comment that
 * only some versions execute, so that no call of a statement that runs is ever left out. */
bool explain_only(const char *text, size_t length);

#endif
