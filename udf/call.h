/* One call on a line: its beginning and its end, so that many can be under way at once, and the rule of what
 * may be sent again. Knows the contract; nothing of SQL. */
#ifndef LAMBDA_UDF_CALL_H
#define LAMBDA_UDF_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "contract.h"
#include "failure.h"
#include "grpc_wire.h"
#include "journal.h"
#include "json_write.h"
#include "line.h"

/* A call. Its caller fills in the request but for call_id and timeout_ms, leaves the rest zero, and keeps
 * what the request's slices point to until the call has ended. */
struct call {
  struct invoke_request request; /* once begun, call_id is its number on the line's channel */
  int tries;                     /* how often it was begun */
  bool in_doubt;                 /* it has left and got no answer: it may have been carried out */
  struct journal_call journal;   /* from call_count_in() to call_count_out(): the call must not move */
};

/* An answer that has come. */
struct call_answer {
  struct grpc_message *message; /* the bytes that the response points into; for call_answer_free() */
  struct bytes parts;           /* and those of a payload that came in parts, and a NUL */
  struct invoke_response response;
};

/* The outcome of a step. After CALL_FAILED and CALL_LOST the line must be dropped. */
enum call_step {
  CALL_OK = 0,
  CALL_REFUSED, /* the call has ended with the sidecar's error, which is *failure */
  CALL_FAILED,  /* *failure says why */
  CALL_LOST     /* the channel is lost: first ask call_may_begin_anew() of each call under way */
};

/* The most that calls_begin() sends at once. */
#define CALLS_AT_ONCE (1 + CONTRACT_MORE_MAX)

/* Sends the call, over a channel that is connected first if the line holds none. CALL_OK: it is under way. */
enum call_step call_begin(struct call *call, struct line *line, struct failure *failure);

/* The same for several in one message, which leaves whole or not at all; payloads are copied, so they should
 * be small. No call may be out of time. */
enum call_step calls_begin(struct call *const *calls, size_t count, struct line *line,
                           struct failure *failure);

/* Waits for the answer to the only call that is under way on the line. CALL_OK: *answer is Lambda's, and the
 * caller's (call_answer_free()). A function that raised gives one too (function_error). */
enum call_step call_finish(struct call *call, struct line *line, struct call_answer *answer,
                           struct failure *failure);

/* The steps of call_finish(), for many calls on one line. First, the next answer to come, which is the
 * caller's on CALL_OK; its response.call_id says to which of the calls it belongs. */
enum call_step call_receive(struct line *line, struct call_answer *answer, struct failure *failure);
/* The same without waiting: on CALL_OK answer->message is NULL if none has come. */
enum call_step call_look(struct line *line, struct call_answer *answer, struct failure *failure);
/* Then the end of that call: CALL_OK, or CALL_REFUSED. The answer is the caller's still. */
enum call_step call_end(struct call *call, const struct line *line, const struct invoke_response *response,
                        struct failure *failure);
/* The next one of the further answers that came with it, if its call said takes_more: *response, whose
 * slices point into the same answer, and CALL_OK, or CALL_FAILED as call_malformed(). index counts from 0 to
 * answer->response.more_count. */
enum call_step call_next(const struct line *line, struct call_answer *answer, size_t index,
                         struct invoke_response *response, struct failure *failure);
/* An answer that belongs to no call: CALL_FAILED; it has been freed. */
enum call_step call_malformed(const struct line *line, struct call_answer *answer, struct failure *failure);

/* After CALL_LOST, while the line still holds the channel. Lambda has side effects: only a call that was
 * never taken may be sent a second time, or one that has the name of a durable execution, to which Lambda
 * leads the second one; and only a few times. True: it may be begun again. False: *failure says why not. */
bool call_may_begin_anew(struct call *call, const struct line *line, struct failure *failure);

/* Completes the failure of a call that has the name of a durable execution and may have started it: that it
 * is safe to repeat. Leaves every other failure as it is. */
void call_explain_doubt(const struct call *call, struct failure *failure);

/* Frees it; fine for one that is zero or was freed. */
void call_answer_free(struct call_answer *answer);

/* To be called before everything and after everything that is done for a call: in between it counts as in
 * flight, others can see it, and the time counts as the call's. */
void call_count_in(struct call *call);
void call_count_out(struct call *call);

/* Notes that the call failed, for others to see; call_end() has noted what the sidecar or the function said,
 * but for a timeout. */
void call_note_failure(struct call *call, const struct failure *failure);

#endif
