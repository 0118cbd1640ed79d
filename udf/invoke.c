/* One call from beginning to end, on a line of its own.
 * Must not know how a call is sent or read. */
#include "invoke.h"

#include "line.h"

/* Gives the line back if it is good for another call; otherwise the sidecar drops what is on it. */
static void end_line(struct line *line, enum call_step step, const struct failure *failure) {
  if (step == CALL_OK || (step == CALL_REFUSED && failure->kind != FAILURE_UNAVAILABLE))
    line_release(line);
  else
    line_drop(line);
}

static bool run(struct call *call, struct line *line, struct call_answer *answer, struct failure *failure) {
  /* A statement killed between two rows must not invoke once more. */
  if (!line_may_go_on(line, failure)) return false;
  for (;;) {
    enum call_step step = call_begin(call, line, failure);
    if (step == CALL_OK) step = call_finish(call, line, answer, failure);
    bool again = step == CALL_LOST && call_may_begin_anew(call, line, failure);
    end_line(line, step, failure);
    if (!again) return step == CALL_OK;
    if (call->tries > 1 && !line_pause(line, failure)) return false;
  }
}

/* On a line of its own, within settings->timeout_ms. */
static bool carry_out(struct call *call, const struct settings *settings, MYSQL_THD session,
                      struct call_answer *answer, struct failure *failure) {
  struct line line;
  int64_t deadline_ms = wait_clock_ms() + settings->timeout_ms;
  call->request.deadline_ms = (uint64_t)deadline_ms;
  line_start(&line, settings, session);
  line_wait_until(&line, deadline_ms);
  return run(call, &line, answer, failure);
}

bool invoke(const struct invoke_request *request, const struct settings *settings, MYSQL_THD session,
            struct call_answer *answer, struct failure *failure) {
  struct call call = {.request = *request};
  call_count_in(&call);
  bool done = carry_out(&call, settings, session, answer, failure);
  if (!done) {
    call_explain_doubt(&call, failure);
    call_note_failure(&call, failure);
  }
  call_count_out(&call);
  return done;
}

bool invoke_ping(const struct invoke_request *request, const struct settings *settings, MYSQL_THD session,
                 struct call_answer *answer, struct failure *failure) {
  struct call call = {.request = *request};
  return carry_out(&call, settings, session, answer, failure);
}
