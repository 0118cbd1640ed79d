/* The calls of one statement that are under way at once, on one line: begun with a place, taken in as they
 * are answered, in any order. Knows calls and places; not what the places are, nor what SQL makes of an
 * answer. */
#ifndef LAMBDA_UDF_FLIGHTS_H
#define LAMBDA_UDF_FLIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "call.h"
#include "failure.h"
#include "line.h"
#include "mysql_abi.h"
#include "settings.h"

/* The most that can be under way at once: of so many, unanswered, the sidecar reads no more (stream.py). */
#define FLIGHTS_WIDTH_MAX 1000u

/* The end of the call that was begun with that place. Either result is Lambda's answer, valid during the
 * call, or it is NULL and *failure says why there is none. True: the place has what it needs, the others go
 * on. False: the statement is to fail with *failure, whose text may have been changed. fails: it fails in any
 * case, for the sidecar is unavailable or a call could not be begun; the answer does not matter then. */
typedef bool (*flights_ended)(void *context, void *place, const struct invoke_result *result,
                              struct failure *failure, bool fails);

/* Must not move once it has been started. */
struct flights {
  struct line line;
  flights_ended ended;
  void *context;
  struct under_way *calls; /* those that the channel owes an answer */
  size_t count, room;
  size_t given_up;  /* of them, those that nobody waits for any more */
  size_t unsent;    /* and those that are not on the channel that the line holds now */
  int64_t begun_us; /* when flights_begin() ended last */
  size_t bytes;     /* in the requests that are waited for */
};

/* Connects to nothing. settings must outlive it; context is for ended. Only the session's own thread may use
 * it. */
void flights_start(struct flights *flights, const struct settings *settings, MYSQL_THD session,
                   flights_ended ended, void *context);

/* Begins a call, or holds it until others follow it or are waited for, after all that has been answered
 * meanwhile was taken in. If width are under way (1 to FLIGHTS_WIDTH_MAX), or too many bytes, waits first
 * until there is room. The call may take timeout_ms from its beginning. The request's call_id, timeout_ms and
 * deadline_ms need not be set; function, payload and the options of the aggregates are copied; what its other
 * slices point to must outlive the call. False: the statement is to fail with *failure, and everything under
 * way has been cancelled in the sidecar. */
bool flights_begin(struct flights *flights, const struct invoke_request *request, uint32_t timeout_ms,
                   uint32_t width, void *place, struct failure *failure);

/* Waits until every call has ended, and gives the line back. False: as flights_begin(). */
bool flights_finish(struct flights *flights, struct failure *failure);

/* Cancels what is under way, without a word to ended, and frees all; fine for one that is zero. It can be
 * used again. */
void flights_abandon(struct flights *flights);

#endif
