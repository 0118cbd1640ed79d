/* Failures of a call, as values, and the single place where they become SQL errors.
 * Knows nothing of sockets or gRPC. */
#ifndef LAMBDA_UDF_FAILURE_H
#define LAMBDA_UDF_FAILURE_H

#include <stdbool.h>

/* MySQL cuts messages at 512 bytes (MYSQL_ERRMSG_SIZE), "lambda_async UDF failed; " included. */
#define FAILURE_TEXT_SIZE 480

enum failure_kind {
  FAILURE_NONE = 0,
  FAILURE_PRIVILEGE,   /* 1227: the account may not invoke */
  FAILURE_ARGUMENT,    /* 3200: NULL, too large, not a name, not JSON; nothing was sent */
  FAILURE_DENIED,      /* 3200: refused by the sidecar's rules, or by lambda_udf.mode */
  FAILURE_API,         /* 3200: the Lambda API, its credentials or the way to it */
  FAILURE_FUNCTION,    /* 3200: the function raised */
  FAILURE_UNAVAILABLE, /* 3200: no sidecar, or it went away, or it answered garbage */
  FAILURE_TIMEOUT,     /* 3200: lambda_udf.timeout_ms */
  FAILURE_OVERLOADED,  /* 3200: the sidecar has no slot for the call within its time; nothing was sent */
  FAILURE_KILLED,      /* 1317: KILL */
  FAILURE_QUERY_TIME,  /* 3024: max_execution_time */
  FAILURE_CLIENT_GONE, /* 3200, caught by no handler: nobody is there to read it */
  FAILURE_SERVER,      /* 3200: a service of mysqld failed, a setting is wrong, or there is no memory */
  FAILURE_KIND_COUNT
};

struct failure {
  enum failure_kind kind;
  char text[FAILURE_TEXT_SIZE]; /* what the user reads after "… UDF failed; "; ends with NUL */
};

/* Sets kind and text (printf's rules; cut to fit, what steers a terminal or a log becomes '?').
 * Returns false, so that a function can end with `return failure_set(…)`. */
bool failure_set(struct failure *failure, enum failure_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds an ending to the text, which is cut where both do not fit. The ending is plain, and much shorter. */
void failure_end_with(struct failure *failure, const char *ending);

/* The kind in one word, as the end of its counter's name; NULL for FAILURE_NONE. */
const char *failure_name(enum failure_kind kind);

/* Raises it in the session's diagnostics area. function is the SQL name, "lambda_sync". The caller
 * must also set *error = 1: the one without the other is no error at all, or one that comes late. */
void failure_raise(const struct failure *failure, const char *function);

#endif
