/* The first argument of an aggregate: a function's name or ARN, or a JSON object of options that names it.
 * Every name and every value is checked here, but for what the sidecar knows better. Pure; knows nothing of
 * how a call travels. */
#ifndef LAMBDA_UDF_AGGREGATE_OPTIONS_H
#define LAMBDA_UDF_AGGREGATE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "contract.h"
#include "failure.h"

/* Whose options they are. */
enum aggregate { AGGREGATE_MAP = 1, AGGREGATE_BATCH = 2 };

enum option_function_error { OPTION_ERROR_UNSAID = 0, OPTION_ERROR_ERROR, OPTION_ERROR_RETURN };

/* Zero holds nothing. Slices are empty and numbers 0 where an option was not given. */
struct aggregate_options {
  struct slice function, qualifier, region, role, tenant_id;
  uint32_t timeout_ms, concurrency;
  enum option_function_error function_error;
  bool distinct;
  enum batch_contract contract; /* BATCH_NONE: not given */
  uint32_t batch_rows, batch_bytes;
  bool retry_service_errors;
  /* The argument that they were read from, and what was decoded from it. */
  char *text;
  size_t length;
};

/* Whether they were read from such an argument. */
bool aggregate_options_are(const struct aggregate_options *options, struct slice argument);

/* Reads the argument of a row, which costs little where it is that of the row before. data NULL: SQL's NULL.
 * False: *failure says what is wrong, and options hold nothing. */
bool aggregate_options_read(struct aggregate_options *options, enum aggregate which, struct slice argument,
                            struct failure *failure);

/* Gives the memory back; they hold nothing again. */
void aggregate_options_free(struct aggregate_options *options);

#endif
