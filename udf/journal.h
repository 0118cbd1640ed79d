/* The calls that are under way in all sessions, and the last ones that failed, for whoever looks: who calls
 * what, since when, how far it is. Knows what a call asks for; not how it travels, nor how it is shown. */
#ifndef LAMBDA_UDF_JOURNAL_H
#define LAMBDA_UDF_JOURNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "contract.h"
#include "failure.h"
#include "quotas.h"

/* As many calls under way are shown, the oldest, and as many failures are kept, the last ones. */
#define JOURNAL_RUNNING_MAX 1000u
#define JOURNAL_FAILURES_MAX 100u
/* Bytes, each with its NUL: a user name of 32 characters in utf8mb4, a host, a request id longer than a UUID.
 */
#define JOURNAL_USER_SIZE 129
#define JOURNAL_HOST_SIZE 256
#define JOURNAL_REQUEST_ID_SIZE (CONTRACT_REQUEST_ID_MAX + 1)

enum journal_phase {
  JOURNAL_HELD = 0,   /* not begun: it waits for others of its statement, to go with them in one message */
  JOURNAL_CONNECTING, /* on the way to the sidecar */
  JOURNAL_SENT,       /* with the sidecar, which knows more (lambda-sidecar top) */
  JOURNAL_FAILED      /* over */
};

/* A call's place among those under way. Its owner keeps it still, and what the request's slices point to,
 * from journal_begin() to journal_end(). */
struct journal_call {
  struct journal_call *previous, *next;
  const struct invoke_request *request;
  uint64_t number;
  int64_t begun_us;
  atomic_int phase;
  bool has_failed;
};

/* Safe from any thread, as all here; each takes a lock for an instant, journal_phase() none. begun_us is
 * wait_clock_us()'s. */
void journal_begin(struct journal_call *call, const struct invoke_request *request, int64_t begun_us);
void journal_phase(struct journal_call *call, enum journal_phase phase);
void journal_end(struct journal_call *call);

/* Notes that the call failed, once, and nothing of one that is not under way (and zero, if it never was);
 * text is what its user reads, NULL to say the kind alone. */
void journal_failed(struct journal_call *call, enum failure_kind kind, const char *text,
                    struct slice request_id);

/* A call as it is shown. Texts end with NUL. */
struct journal_row {
  uint64_t number; /* differs for any two calls; one that fails while it is read may be there twice */
  uint64_t connection_id;
  int64_t begun_us, lasted_us; /* wait_clock_us() when it began; and how long it has lasted, or lasted */
  enum journal_phase phase;
  enum invocation_type type;
  enum failure_kind kind; /* of a failure */
  char user[JOURNAL_USER_SIZE];
  char host[JOURNAL_HOST_SIZE];
  char function[QUOTA_FUNCTION_NAME_MAX + 1];
  char text[FAILURE_TEXT_SIZE];
  char request_id[JOURNAL_REQUEST_ID_SIZE];
};

/* All there is at this moment: those under way, the oldest first, then failures, the last one first. The rows
 * are the caller's (free()). NULL: no memory. */
struct journal_row *journal_read(size_t *count);

#endif
