/* Reads one JSON object (RFC 8259) member by member: names, and values that are a string, a whole number,
 * true or false; any other value is checked and named as other. Pure, so that it is fuzzed (tests/fuzz);
 * knows nothing of what the members mean. */
#ifndef LAMBDA_UDF_JSON_READ_H
#define LAMBDA_UDF_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Levels of arrays and objects within a member's value that are read: those that MySQL's JSON has. */
#define JSON_DEPTH_MAX 100

enum json_kind {
  JSON_OTHER = 0, /* null, an array, an object, or a number that is not whole or beyond 64 bits */
  JSON_STRING,
  JSON_INTEGER,
  JSON_TRUE,
  JSON_FALSE
};

struct json_member {
  const char *name; /* decoded, as UTF-8; may hold NUL */
  size_t name_length;
  enum json_kind kind;
  const char *text; /* of a string: decoded */
  size_t length;
  int64_t integer;
};

/* Gets each member in order; names may come twice. False ends the reading. */
typedef bool (*json_member_taken)(void *context, const struct json_member *member);

enum json_read {
  JSON_READ = 0,
  JSON_READ_STOPPED, /* taken said so */
  JSON_READ_NOT_AN_OBJECT,
  JSON_READ_TOO_DEEP,
  JSON_READ_MALFORMED
};

/* Reads text, which must be UTF-8 as a whole. scratch, of length bytes, receives what is decoded: members
 * point into it. *what and *at say what is wrong, and at which byte, counted from 0, after
 * JSON_READ_MALFORMED. */
enum json_read json_read_object(const char *text, size_t length, char *scratch, json_member_taken taken,
                                void *context, const char **what, size_t *at);

#endif
