/* The ground of lambda_map and lambda_batch.
 * Must not know how calls travel, nor how results find their places. */
#include "aggregation.h"

#include <string.h>

#include "counters.h"
#include "server.h"

_Static_assert(SETTINGS_CONCURRENCY_MAX <= FLIGHTS_WIDTH_MAX, "any concurrency must be a width of flights");

/* What becomes of a call without a good result: piece.note. */
enum on_failure {
  FAILS_STATEMENT = 0,
  RETURNS_RAISED, /* where the function raised, its place says so; anything else fails the statement */
  RETURNS_ALL     /* the same for every failure that is of one call alone */
};

/* ---- failures ---- */

bool aggregation_of_rows(unsigned long long first, unsigned long long rows, struct failure *failure) {
  struct failure plain = *failure;
  if (rows == 1) return failure_set(failure, plain.kind, "row %llu: %s", first, plain.text);
  return failure_set(failure, plain.kind, "rows %llu to %llu: %s", first, first + rows - 1, plain.text);
}

static bool of_piece(const struct piece *piece, struct failure *failure) {
  return aggregation_of_rows(piece->row, piece->rows, failure);
}

/* The name under which a failure stands in its row's place; NULL: it is not of one call alone. */
static const char *kind_name(enum failure_kind kind) {
  switch (kind) {
    case FAILURE_ARGUMENT:
    case FAILURE_DENIED:
    case FAILURE_API:
    case FAILURE_FUNCTION:
    case FAILURE_TIMEOUT:
    case FAILURE_OVERLOADED:
      return failure_name(kind);
    default:
      return NULL;
  }
}

static enum on_failure on_failure(const struct aggregation *aggregation) {
  switch (aggregation->options.function_error) {
    case OPTION_ERROR_RETURN:
      return RETURNS_ALL;
    case OPTION_ERROR_ERROR:
      return FAILS_STATEMENT;
    default:
      return aggregation->statement.settings.function_error == FUNCTION_ERROR_RETURN ? RETURNS_RAISED
                                                                                     : FAILS_STATEMENT;
  }
}

static bool gathers(const struct aggregation *aggregation, enum gathering gathering,
                    struct failure *failure) {
  if (gathering == GATHERED) return true;
  if (gathering == GATHERED_NO_MEMORY) return aggregation_no_memory(failure);
  return failure_set(failure, FAILURE_SERVER, "the result has more than %zu bytes (max_allowed_packet)",
                     aggregation->gathered.most);
}

bool aggregation_no_memory(struct failure *failure) {
  return failure_set(failure, FAILURE_SERVER, "no memory for the result");
}

/* ---- results ---- */

bool aggregation_write_error(struct bytes *json, const struct failure *failure) {
  return bytes_add_text(json, "{\"error\": {\"kind\": \"") &&
         bytes_add_text(json, kind_name(failure->kind)) && bytes_add_text(json, "\", \"message\": ") &&
         json_write_string(json, failure->text, strlen(failure->text)) == WRITTEN;
}

static bool fill(struct aggregation *aggregation, struct piece *piece, bool written, struct bytes *json,
                 struct failure *failure) {
  if (written) return gathers(aggregation, gathered_fill(&aggregation->gathered, piece, json), failure);
  bytes_free(json);
  return aggregation_no_memory(failure);
}

static bool fill_error(struct aggregation *aggregation, struct piece *piece, struct slice document,
                       struct failure *failure) {
  struct bytes json = {.data = NULL};
  counter_error(failure->kind);
  bool written = aggregation->steps->write_error(&json, failure, document, piece);
  return fill(aggregation, piece, written, &json, failure);
}

/* As flights.h says: the place is a piece. */
static bool call_ended(void *context, void *place, const struct invoke_result *result,
                       struct failure *failure, bool fails) {
  struct aggregation *aggregation = context;
  struct piece *piece = place;
  struct bytes json = {.data = NULL};
  if (result != NULL && !statement_raised(result, failure)) {
    bool written = aggregation->steps->write_result(&json, result->payload, piece);
    return fill(aggregation, piece, written, &json, failure);
  }
  if (result != NULL && piece->note != FAILS_STATEMENT)
    return fill_error(aggregation, piece, result->payload, failure);
  if (!fails && piece->note == RETURNS_ALL && kind_name(failure->kind) != NULL)
    return fill_error(aggregation, piece, (struct slice){.data = NULL}, failure);
  return of_piece(piece, failure);
}

bool aggregation_put(struct aggregation *aggregation, struct piece *piece, bool keyed, struct slice key,
                     struct failure *failure) {
  return gathers(aggregation, gathered_add(&aggregation->gathered, piece, keyed, key), failure);
}

struct piece *aggregation_null(struct aggregation *aggregation, struct failure *failure) {
  struct bytes json = {.data = NULL};
  if (aggregation->null == NULL) aggregation->null = piece_new(aggregation->row);
  if (aggregation->null == NULL) {
    aggregation_no_memory(failure);
    return NULL;
  }
  if (aggregation->null->filled) return aggregation->null;
  bool filled = fill(aggregation, aggregation->null, bytes_add_text(&json, "null"), &json, failure);
  return filled ? aggregation->null : NULL;
}

bool aggregation_refuse(struct aggregation *aggregation, struct piece *piece, struct failure *failure) {
  if (failure->kind == FAILURE_PRIVILEGE) return false;
  if (on_failure(aggregation) != RETURNS_ALL || kind_name(failure->kind) == NULL)
    return of_piece(piece, failure);
  return fill_error(aggregation, piece, (struct slice){.data = NULL}, failure);
}

/* ---- calls ---- */

struct invoke_request aggregation_request(const struct aggregation *aggregation, struct slice payload) {
  const struct aggregate_options *options = &aggregation->options;
  return (struct invoke_request){
      .function = options->function,
      .qualifier = options->qualifier,
      .region = options->region,
      .role = options->role,
      .tenant_id = options->tenant_id,
      .answer_form = ANSWER_JSON,
      .payload = payload,
  };
}

bool aggregation_begin(struct aggregation *aggregation, struct invoke_request *request, struct piece *piece,
                       struct failure *failure) {
  const struct statement *statement = &aggregation->statement;
  const struct aggregate_options *options = &aggregation->options;
  uint32_t timeout_ms = statement->settings.timeout_ms, own = options->timeout_ms;
  uint32_t width = options->concurrency > 0 ? options->concurrency : statement->concurrency;
  if (own > 0 && own < timeout_ms) timeout_ms = own;
  piece->note = on_failure(aggregation);
  request->fails_together = piece->note == FAILS_STATEMENT;
  if (!aggregation->started)
    flights_start(&aggregation->flights, &statement->settings, statement->session, call_ended, aggregation);
  aggregation->started = true;
  return flights_begin(&aggregation->flights, request, timeout_ms, width, piece, failure);
}

/* ---- the entry points ---- */

static void forget_rows(struct aggregation *aggregation) {
  if (aggregation->steps->forget_rows != NULL) aggregation->steps->forget_rows(aggregation);
}

static void fail_statement(struct aggregation *aggregation, const struct failure *failure,
                           unsigned char *error) {
  aggregation->failed = true;
  flights_abandon(&aggregation->flights);
  forget_rows(aggregation);
  statement_fail(&aggregation->statement, failure, error);
}

bool aggregation_init(const struct sql_function *function, const struct aggregate_steps *steps,
                      UDF_INIT *init, UDF_ARGS *args, char *message) {
  if (statement_start(function, init, args, message)) return true;
  ((struct aggregation *)init->ptr)->steps = steps;
  return false;
}

void aggregation_deinit(UDF_INIT *init) {
  struct aggregation *aggregation = (struct aggregation *)init->ptr;
  if (aggregation != NULL) {
    flights_abandon(&aggregation->flights);
    gathered_free(&aggregation->gathered);
    piece_leave(aggregation->null);
    aggregate_options_free(&aggregation->options);
  }
  statement_end(init);
}

/* For WITH ROLLUP the server makes a copy of the expression for each level, each with a UDF_INIT, and all of
 * them call with one state (sql/item_sum.cc, Item_rollup_sum_switcher): each row would come several times,
 * and the levels mix. Where it makes a copy for another purpose (a temporary table), that alone adds rows. */
static bool is_rolled_up(const struct aggregation *aggregation, const UDF_INIT *caller,
                         struct failure *failure) {
  if (aggregation->adder == NULL || aggregation->adder == caller) return false;
  failure_set(failure, FAILURE_ARGUMENT, "it cannot be used WITH ROLLUP");
  return true;
}

/* A group whose result nobody asked for (HAVING) has made calls all the same, and they end first. */
void aggregation_clear(UDF_INIT *init, unsigned char *is_null, unsigned char *error) {
  struct aggregation *aggregation = (struct aggregation *)init->ptr;
  struct failure failure;
  *is_null = 0;
  if (aggregation->failed) return;
  if (is_rolled_up(aggregation, init, &failure) ||
      (aggregation->started && !flights_finish(&aggregation->flights, &failure)))
    fail_statement(aggregation, &failure, error);
  forget_rows(aggregation);
  gathered_clear(&aggregation->gathered, server_max_packet(aggregation->statement.session));
  aggregation->row = 0;
}

void aggregation_add(UDF_INIT *init, UDF_ARGS *args, unsigned char *is_null, unsigned char *error) {
  struct aggregation *aggregation = (struct aggregation *)init->ptr;
  struct failure failure;
  bool done = true;
  *is_null = 0;
  if (aggregation->failed) {
    *error = 1;
    return;
  }
  aggregation->adder = init;
  aggregation->row++;
  enum statement_row row = statement_enter(&aggregation->statement, &failure);
  if (row == ROW_RUNS) {
    done = aggregation->steps->run_row(aggregation, args, &failure);
    statement_leave();
  } else if (row == ROW_FAILED) {
    done = false;
  } else if (!aggregation->statement.explained) {
    done = aggregation->steps->skip_row(aggregation, args, &failure);
  }
  if (!done) fail_statement(aggregation, &failure, error);
}

static bool finish(struct aggregation *aggregation, struct slice *array, struct failure *failure) {
  if (aggregation->steps->end_rows != NULL && !aggregation->steps->end_rows(aggregation, failure))
    return false;
  if (aggregation->started && !flights_finish(&aggregation->flights, failure)) return false;
  return gathers(aggregation, gathered_finish(&aggregation->gathered, array), failure);
}

char *aggregation_result(UDF_INIT *init, unsigned long *length, unsigned char *is_null,
                         unsigned char *error) {
  struct aggregation *aggregation = (struct aggregation *)init->ptr;
  struct slice array = {.data = NULL};
  struct failure failure;
  *is_null = 1;
  if (aggregation->failed) {
    *error = 1;
    return NULL;
  }
  enum statement_row row = statement_enter_result(&aggregation->statement, &failure);
  if (row == ROW_RUNS) {
    if (!finish(aggregation, &array, &failure)) row = ROW_FAILED;
    statement_leave();
  }
  if (row == ROW_FAILED) fail_statement(aggregation, &failure, error);
  if (row != ROW_RUNS) return NULL;
  *is_null = 0;
  *length = array.length;
  return (char *)(uintptr_t)array.data;
}
