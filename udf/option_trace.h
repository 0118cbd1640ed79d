/* The option traceparent of lambda_invoke, for the error of a call that has it. */
#ifndef LAMBDA_UDF_OPTION_TRACE_H
#define LAMBDA_UDF_OPTION_TRACE_H

#include "contract.h"
#include "traceparent.h"

/* Puts it into traceparent, which stays as it is where the options have none that is well-formed, or cannot
 * be read. Any bytes may be options; data NULL: there are none. */
void option_trace(struct slice options, char traceparent[TRACEPARENT_SIZE]);

#endif
