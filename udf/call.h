/* One call on a line: its beginning and its end, so that many can be under way at once, and the rule of what
 * may be sent again. Knows the contract; nothing of SQL. */
#ifndef LAMBDA_UDF_CALL_H
#define LAMBDA_UDF_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "contract.h"
#include "failure.h"
#include "grpc_wire.h"
#include "line.h"

/* A call as it is sent, and sent anew. Its caller sets the request but for call_id and timeout_ms, and
 * keeps what its slices point to until the call has ended. */
struct call {
  struct invoke_request request; /* deadline_ms must be set; call_id is its number on the line's channel */
  int tries;                     /* how often it was begun */
  uint64_t counted_us;           /* when call_count_in() counted it */
};

/* An answer that has come. */
struct call_answer {
  struct grpc_message *message; /* holds the bytes; call_answer_free() */
  struct invoke_response response;
};

enum call_step {
  CALL_OK = 0,  /* done */
  CALL_REFUSED, /* the sidecar answered with an error, which *failure is; the call has ended, the line is free
                 */
  CALL_FAILED,  /* *failure says why; drop the line */
  CALL_LOST     /* the channel is: ask call_may_begin_anew() of each call under way, then drop the line */
};

/* Sends the call, over a channel that is connected first where the line holds none. CALL_OK: it is under way.
 */
enum call_step call_begin(struct call *call, struct line *line, struct failure *failure);

/* Waits for the answer to the one call under way on the line. CALL_OK: *answer is Lambda's, a function
 * that raised is one too (function_error), and the caller's; otherwise it is freed. */
enum call_step call_finish(struct call *call, struct line *line, struct call_answer *answer,
                           struct failure *failure);

/* The two halves of call_finish(), for many calls under way: waits for the next answer, whichever call's it
 * is by response.call_id; what answers none of them is for call_malformed(). CALL_OK: *answer is the
 * caller's. */
enum call_step call_receive(struct line *line, struct call_answer *answer, struct failure *failure);
/* Ends the call whose answer that is: CALL_OK or CALL_REFUSED, as call_finish(). */
enum call_step call_end(const struct call *call, const struct line *line, struct call_answer *answer,
                        struct failure *failure);
/* Frees an answer that is none of the contract's, and is CALL_FAILED. */
enum call_step call_malformed(const struct line *line, struct call_answer *answer, struct failure *failure);

/* After CALL_LOST, while the line still holds the channel. Lambda has side effects: a call that may have left
 * is never sent a second time, and one that has not only so often. True: it may be begun again. False:
 * *failure says why not. */
bool call_may_begin_anew(const struct call *call, const struct line *line, struct failure *failure);

void call_answer_free(struct call_answer *answer);

/* Around everything that is done for a call: it counts as in flight, and for so long. */
void call_count_in(struct call *call);
void call_count_out(const struct call *call);

#endif
