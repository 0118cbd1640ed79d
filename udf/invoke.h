/* One call: a request goes out on a channel, its result or its failure comes back.
 * Knows the rule of what may be sent again; nothing of SQL arguments. */
#ifndef LAMBDA_UDF_INVOKE_H
#define LAMBDA_UDF_INVOKE_H

#include <stdbool.h>

#include "contract.h"
#include "failure.h"
#include "grpc_wire.h"
#include "mysql_abi.h"
#include "settings.h"

/* Invokes and waits, in the session's own thread, until the answer, a KILL, max_execution_time or
 * settings->timeout_ms. request->call_id, timeout_ms and deadline_ms are set here.
 *
 * True: *response is the result and points into *answer, which is the caller's (free()). A function
 * that raised is a result too (response->function_error).
 * False: *failure says why, and the call has been cancelled in the sidecar. */
bool invoke(struct invoke_request *request, const struct settings *settings, MYSQL_THD session,
            struct grpc_message **answer, struct invoke_response *response, struct failure *failure);

#endif
