/* The library's counters, and the status variables that show them (SHOW GLOBAL STATUS LIKE
 * 'Lambda_udf%'). Counting costs an atomic addition and needs no component. Safe from any thread. */
#ifndef LAMBDA_UDF_COUNTERS_H
#define LAMBDA_UDF_COUNTERS_H

#include <stdint.h>

#include "failure.h"
#include "mysql_abi.h"

enum counter {
  COUNTER_SYNC_CALLS = 0,  /* rows for which lambda_sync was evaluated, whatever came of it */
  COUNTER_ASYNC_CALLS,     /* the same for lambda_async */
  COUNTER_INVOKE_CALLS,    /* the same for lambda_invoke */
  COUNTER_MAP_CALLS,       /* the same for lambda_map */
  COUNTER_BATCH_CALLS,     /* the same for lambda_batch */
  COUNTER_EXECUTION_CALLS, /* the same for lambda_execution */
  COUNTER_CALLBACK_CALLS,  /* the same for lambda_callback and lambda_callback_failure */
  COUNTER_SKIPPED,         /* of them, those that lambda_udf.mode = skip made NULL */
  COUNTER_IN_FLIGHT,       /* calls that a session waits for now */
  COUNTER_QUEUED,          /* calls that waited in the sidecar for a slot (max_concurrency) */
  COUNTER_QUEUE_TIME_US,   /* microseconds that they waited, all together */
  COUNTER_BYTES_OUT,       /* of payloads sent */
  COUNTER_BYTES_IN,        /* of payloads received */
  COUNTER_CONNECTIONS,     /* to the sidecar, open now */
  COUNTER_CONNECTIONS_OPENED,
  COUNTER_CALL_TIME_US,     /* microseconds in calls, all together */
  COUNTER_CALL_TIME_MAX_US, /* the longest call */
  COUNTER_ERRORS,           /* the first of the errors by kind: COUNTER_ERRORS + enum failure_kind */
  COUNTER_COUNT = COUNTER_ERRORS + FAILURE_KIND_COUNT
};

void counter_add(enum counter counter, int64_t amount);
void counter_error(enum failure_kind kind);
uint64_t counter_read(enum counter counter);

/* Adds one call's time to the total and to the maximum. */
void counter_call_time(uint64_t microseconds);

/* The status variables, ending with a zero name; they point at the counters. Static. */
struct SHOW_VAR *counters_status_variables(void);

#endif
