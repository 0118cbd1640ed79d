/* Atomic counters under the names of status variables.
 * Must not know when something counts. */
#include "counters.h"

#include <stdatomic.h>
#include <stddef.h>

/* The server reads them through plain pointers: aligned 8-byte loads, whole on every 64-bit machine. */
static _Atomic uint64_t counters[COUNTER_COUNT];
_Static_assert(sizeof(_Atomic uint64_t) == 8, "a counter must look like a long long to the server");

#define VARIABLE(suffix, counter)                                                             \
  {                                                                                           \
    .name = "Lambda_udf_" suffix, .value = (char *)&counters[counter], .type = SHOW_LONGLONG, \
    .scope = SHOW_SCOPE_GLOBAL                                                                \
  }
#define ERRORS(suffix, kind) VARIABLE("errors_" suffix, COUNTER_ERRORS + (kind))

static struct SHOW_VAR variables[] = {
    VARIABLE("bytes_in", COUNTER_BYTES_IN),
    VARIABLE("bytes_out", COUNTER_BYTES_OUT),
    VARIABLE("call_time_max_us", COUNTER_CALL_TIME_MAX_US),
    VARIABLE("call_time_us", COUNTER_CALL_TIME_US),
    VARIABLE("calls_async", COUNTER_ASYNC_CALLS),
    VARIABLE("calls_batch", COUNTER_BATCH_CALLS),
    VARIABLE("calls_callback", COUNTER_CALLBACK_CALLS),
    VARIABLE("calls_execution", COUNTER_EXECUTION_CALLS),
    VARIABLE("calls_invoke", COUNTER_INVOKE_CALLS),
    VARIABLE("calls_map", COUNTER_MAP_CALLS),
    VARIABLE("calls_skipped", COUNTER_SKIPPED),
    VARIABLE("calls_sync", COUNTER_SYNC_CALLS),
    VARIABLE("connections", COUNTER_CONNECTIONS),
    VARIABLE("connections_opened", COUNTER_CONNECTIONS_OPENED),
    ERRORS("api", FAILURE_API),
    ERRORS("argument", FAILURE_ARGUMENT),
    ERRORS("client_gone", FAILURE_CLIENT_GONE),
    ERRORS("denied", FAILURE_DENIED),
    ERRORS("function", FAILURE_FUNCTION),
    ERRORS("killed", FAILURE_KILLED),
    ERRORS("overloaded", FAILURE_OVERLOADED),
    ERRORS("privilege", FAILURE_PRIVILEGE),
    ERRORS("query_time", FAILURE_QUERY_TIME),
    ERRORS("server", FAILURE_SERVER),
    ERRORS("timeout", FAILURE_TIMEOUT),
    ERRORS("unavailable", FAILURE_UNAVAILABLE),
    VARIABLE("in_flight", COUNTER_IN_FLIGHT),
    VARIABLE("queue_time_us", COUNTER_QUEUE_TIME_US),
    VARIABLE("queued", COUNTER_QUEUED),
    {.name = NULL, .type = SHOW_LONGLONG, .scope = SHOW_SCOPE_GLOBAL},
};

void counter_add(enum counter counter, int64_t amount) {
  atomic_fetch_add_explicit(&counters[counter], (uint64_t)amount, memory_order_relaxed);
}

void counter_error(enum failure_kind kind) { counter_add(COUNTER_ERRORS + (unsigned)kind, 1); }

uint64_t counter_read(enum counter counter) {
  return atomic_load_explicit(&counters[counter], memory_order_seq_cst);
}

void counter_call_time(uint64_t microseconds) {
  uint64_t longest = atomic_load_explicit(&counters[COUNTER_CALL_TIME_MAX_US], memory_order_relaxed);
  counter_add(COUNTER_CALL_TIME_US, (int64_t)microseconds);
  while (microseconds > longest &&
         !atomic_compare_exchange_weak_explicit(&counters[COUNTER_CALL_TIME_MAX_US], &longest, microseconds,
                                                memory_order_relaxed, memory_order_relaxed)) {
  }
}

struct SHOW_VAR *counters_status_variables(void) {
  return variables;
}
