/* The name of a durable execution in lambda_invoke's options: of one name Lambda starts one execution, and so
 * a call that has one may be sent twice. Pure, so that it is fuzzed (tests/fuzz); knows nothing of calls. */
#ifndef LAMBDA_UDF_DURABLE_NAME_H
#define LAMBDA_UDF_DURABLE_NAME_H

#include <stddef.h>

#include "contract.h"

/* Bytes of a name (Invoke API, X-Amz-Durable-Execution-Name). */
#define DURABLE_NAME_MAX 64u

/* The name that the options have, copied into room; empty where they have none, have it twice, or are
 * anything that this reader and the sidecar's might understand differently. options must be UTF-8. */
struct slice durable_name(struct slice options, char room[DURABLE_NAME_MAX]);

#endif
