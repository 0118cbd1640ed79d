/* A load program: sessions that connect, wait for the word, call as fast as they are answered, and check
 * every answer. Knows threads, clocks and the lines it is driven by (load.py); not what a call is.
 *
 * PROGRAM WHERE SESSIONS connects so many sessions and answers `connected`. Commands, fields between tabs:
 *   prepare SESSIONS CALLS SECONDS WARMUP FUNCTION TYPE REQUEST-FILE EXPECTED-FILE  -> ready
 *   go                                                                             -> one line of JSON
 * CALLS is per session, 0: as many as fit into SECONDS. WARMUP calls per session come before `ready`.
 * `@@@@` in either file becomes the session's number in four digits, so that no two sessions expect the
 * same answer. FUNCTION and TYPE are for programs whose request does not say them. Ends with its input. */
#ifndef LAMBDA_UDF_BENCH_DRIVER_H
#define LAMBDA_UDF_BENCH_DRIVER_H

#include <stdbool.h>
#include <stddef.h>

#define FAILURE_SIZE 600

struct bytes {
  const char *data;
  size_t length;
};

/* What a call is. One thread at a time uses a session; on false, failure (FAILURE_SIZE bytes) says why. */
struct target {
  /* A new session, or NULL. */
  void *(*open)(const char *where, char *failure);
  /* One call; *answer stays valid until the session's next call. */
  bool (*call)(void *session, struct bytes request, struct bytes *answer, char *failure);
  void (*close)(void *session);
};

/* main() of a load program. */
int driver_main(int argc, char **argv, const struct target *target);

#endif
