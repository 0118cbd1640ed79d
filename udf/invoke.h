/* One call from beginning to end, alone on its line.
 * Knows in which order the steps of a call follow, and what is tried again; nothing of SQL. */
#ifndef LAMBDA_UDF_INVOKE_H
#define LAMBDA_UDF_INVOKE_H

#include <stdbool.h>

#include "call.h"
#include "failure.h"
#include "mysql_abi.h"
#include "settings.h"

/* Invokes and waits, in the session's own thread, until the answer, a KILL, max_execution_time, the end of
 * the client or settings->timeout_ms. The request's call_id, timeout_ms and deadline_ms need not be set.
 *
 * True: *answer is Lambda's, and the caller's (call_answer_free()). A function that raised gives one too
 * (function_error).
 * False: *failure says why, and the call has been cancelled in the sidecar. */
bool invoke(const struct invoke_request *request, const struct settings *settings, MYSQL_THD session,
            struct call_answer *answer, struct failure *failure);

/* The same for a request that invokes nothing: it counts as no call, in flight or in time. */
bool invoke_ping(const struct invoke_request *request, const struct settings *settings, MYSQL_THD session,
                 struct call_answer *answer, struct failure *failure);

#endif
