/* The kinds of SQL values, and how each becomes JSON. Knows what a server says of an argument, and calls
 * none. */
#ifndef LAMBDA_UDF_VALUE_H
#define LAMBDA_UDF_VALUE_H

#include <stdbool.h>

#include "json_write.h"
#include "mysql_abi.h"

enum value_kind {
  VALUE_TEXT = 0,   /* a JSON string; TIME, DATE, ENUM and SET too */
  VALUE_INTEGER,    /* INT_RESULT: a number */
  VALUE_UNSIGNED,   /* INT_RESULT whose bits are an unsigned number: BIT(64) */
  VALUE_REAL,       /* REAL_RESULT: a number */
  VALUE_DIGITS,     /* text of a number: DECIMAL, and integers that may be beyond 2^63 */
  VALUE_BINARY,     /* a JSON string in base64 */
  VALUE_DATETIME,   /* text; what has the form of a date with a time, to the last byte, gets ISO 8601's T */
  VALUE_JSON,       /* JSON as the server prints it: embedded, whatever it is */
  VALUE_MAYBE_JSON, /* text that may be JSON: embedded if it is an object, an array or a string */
};

/* What is known of an argument. */
struct value_type {
  enum value_kind kind;
  unsigned long longest; /* bytes that a value can have at most */
};

/* The type of an argument in an init function, before anything is set. collation is the server's. A server
 * does not say what type an argument has; this is what it tells (tried on 9.7.4):
 * - arg_type: INT_RESULT for integers, YEAR and BIT, DECIMAL_RESULT, REAL_RESULT, STRING_RESULT for all else;
 * - the collation: "binary" for BLOB, BINARY, BIT, VECTOR, GEOMETRY and NULL; "utf8mb4_bin" for JSON, and
 *   "latin1_swedish_ci" for dates and times, as for text of these collations;
 * - in lengths the longest value that is possible, for a constant the one that it is: 20 for BIGINT UNSIGNED;
 *   19, or 20 and the digits behind the point, for DATETIME and TIMESTAMP; 4294967295 for JSON and a column
 *   of type LONGTEXT, while other text in utf8mb4 has a multiple of 4. Releases of 8.0 have 16777216 for the
 *   results of JSON functions. */
struct value_type value_type_of(const UDF_ARGS *args, unsigned int index, const char *collation);

/* The arg_type with which a value of the kind is to be asked for. */
enum Item_result value_asked_as(enum value_kind kind);

/* Writes a row's value; NULL as null. */
enum json_written value_write(struct bytes *bytes, struct value_type type, const UDF_ARGS *args,
                              unsigned int index);

#endif
