/* lambda_map(function_or_options, payload[, key]): a call for each row, many at a time; the results as one
 * JSON array in the order of the rows. Must not know how calls travel, nor how results find their places. */
#include <string.h>

#include "aggregate_options.h"
#include "counters.h"
#include "distinct.h"
#include "exports.h"
#include "flights.h"
#include "gathered.h"
#include "json_write.h"
#include "quotas.h"
#include "server.h"
#include "statement.h"

/* max_allowed_packet has no larger value (refman: Server System Variables): a LONGTEXT to the server. */
#define RESULT_MAX 1073741824ul

enum { FUNCTION = 0, PAYLOAD, KEY }; /* the arguments */

/* What becomes of a call without a good result: piece.note. */
enum on_failure {
  FAILS_STATEMENT = 0,
  RETURNS_RAISED, /* where the function raised, its place says so; anything else fails the statement */
  RETURNS_ALL     /* the same for every failure that is of one call alone */
};

struct map_statement {
  struct statement statement;
  const UDF_INIT *adder;  /* who has added rows */
  struct flights flights; /* started with the first call */
  bool started;
  bool failed; /* and has been raised */
  struct gathered gathered;
  struct distinct distinct; /* of the whole statement, not of a group */
  struct aggregate_options options;
  struct bytes key;       /* the row's */
  struct piece *null;     /* for all places that hold null */
  unsigned long long row; /* of the group, from 1 */
};

static const struct sql_function map_function = {
    .name = "lambda_map",
    .usage = "(function_or_options, payload[, key]) takes 2 or 3 arguments",
    .arguments_min = 2,
    .arguments_max = 3,
    .state_size = sizeof(struct map_statement),
    .type = INVOCATION_REQUEST_RESPONSE,
    .payload_max = QUOTA_REQUEST_RESPONSE_MAX,
    .payload_kind = "RequestResponse",
    .values = KEY,
    .result_max = RESULT_MAX,
    .calls = COUNTER_MAP_CALLS,
    .concurrency = CONCURRENCY_MAP,
    .raises = true,
};

/* ---- failures ---- */

/* The failure is that row's. */
static bool of_row(unsigned long long row, struct failure *failure) {
  struct failure plain = *failure;
  return failure_set(failure, plain.kind, "row %llu: %s", row, plain.text);
}

/* The name under which a failure stands in its row's place; NULL: it is not of one call alone. */
static const char *kind_name(enum failure_kind kind) {
  switch (kind) {
    case FAILURE_ARGUMENT:
      return "argument";
    case FAILURE_DENIED:
      return "denied";
    case FAILURE_API:
      return "api";
    case FAILURE_FUNCTION:
      return "function";
    case FAILURE_TIMEOUT:
      return "timeout";
    case FAILURE_OVERLOADED:
      return "overloaded";
    default:
      return NULL;
  }
}

static enum on_failure on_failure(const struct map_statement *map) {
  switch (map->options.function_error) {
    case OPTION_ERROR_RETURN:
      return RETURNS_ALL;
    case OPTION_ERROR_ERROR:
      return FAILS_STATEMENT;
    default:
      return map->statement.settings.function_error == FUNCTION_ERROR_RETURN ? RETURNS_RAISED
                                                                             : FAILS_STATEMENT;
  }
}

static bool gathers(const struct map_statement *map, enum gathering gathering, struct failure *failure) {
  if (gathering == GATHERED) return true;
  if (gathering == GATHERED_NO_MEMORY)
    return failure_set(failure, FAILURE_SERVER, "no memory for the result");
  return failure_set(failure, FAILURE_SERVER, "the result has more than %zu bytes (max_allowed_packet)",
                     map->gathered.most);
}

/* ---- results ---- */

static bool add_text(struct bytes *json, const char *text) { return bytes_add(json, text, strlen(text)); }

/* {"error": {"kind": …, "message": …[, "document": …]}}; the document is what a function that raised gave.
 * False: no memory. */
static bool write_error(struct bytes *json, const struct failure *failure, struct slice document) {
  bool written = add_text(json, "{\"error\": {\"kind\": \"") && add_text(json, kind_name(failure->kind)) &&
                 add_text(json, "\", \"message\": ") &&
                 json_write_string(json, failure->text, strlen(failure->text)) == WRITTEN;
  if (written && document.length > 0)
    written = add_text(json, ", \"document\": ") && bytes_add(json, document.data, document.length);
  return written && add_text(json, "}}");
}

static bool fill(struct map_statement *map, struct piece *piece, bool written, struct bytes *json,
                 struct failure *failure) {
  if (written) return gathers(map, gathered_fill(&map->gathered, piece, json), failure);
  bytes_free(json);
  return gathers(map, GATHERED_NO_MEMORY, failure);
}

static bool fill_error(struct map_statement *map, struct piece *piece, struct slice document,
                       struct failure *failure) {
  struct bytes json = {.data = NULL};
  counter_error(failure->kind);
  bool written = write_error(&json, failure, document);
  return fill(map, piece, written, &json, failure);
}

/* As flights.h says: the place is a piece. */
static bool call_ended(void *context, void *place, const struct invoke_result *result,
                       struct failure *failure) {
  struct map_statement *map = context;
  struct piece *piece = place;
  struct bytes json = {.data = NULL};
  if (result != NULL && !statement_raised(result, failure)) {
    struct slice payload = slice_or(result->payload, SIZE_MAX, "null");
    bool written = bytes_add(&json, payload.data, payload.length);
    return fill(map, piece, written, &json, failure);
  }
  if (result != NULL && piece->note != FAILS_STATEMENT)
    return fill_error(map, piece, result->payload, failure);
  if (piece->note == RETURNS_ALL && kind_name(failure->kind) != NULL)
    return fill_error(map, piece, (struct slice){.data = NULL}, failure);
  return of_row(piece->row, failure);
}

static void leave_made(void *made) { piece_leave(made); }

/* ---- rows ---- */

static struct slice argument(const UDF_ARGS *args, unsigned int index) {
  return (struct slice){.data = args->args[index], .length = args->lengths[index]};
}

/* The row's key as JSON, if there is one. */
static bool write_key(struct map_statement *map, const UDF_ARGS *args, struct failure *failure) {
  map->key.length = 0;
  if (args->arg_count <= KEY) return true;
  switch (value_write(&map->key, map->statement.types[KEY], args, KEY)) {
    case WRITTEN:
      return true;
    case WRITTEN_NOT_UTF8:
      failure_set(failure, FAILURE_ARGUMENT, "the key is not UTF-8");
      return of_row(map->row, failure);
    case WRITTEN_NOT_A_NUMBER:
      failure_set(failure, FAILURE_ARGUMENT, "the key is a number that JSON does not have");
      return of_row(map->row, failure);
    default:
      return gathers(map, GATHERED_NO_MEMORY, failure);
  }
}

/* The row's place in the array. */
static bool put(struct map_statement *map, const UDF_ARGS *args, struct piece *piece,
                struct failure *failure) {
  if (!write_key(map, args, failure)) return false;
  struct slice key = {.data = map->key.data, .length = map->key.length};
  return gathers(map, gathered_add(&map->gathered, piece, args->arg_count > KEY, key), failure);
}

static bool put_null(struct map_statement *map, const UDF_ARGS *args, struct failure *failure) {
  struct bytes json = {.data = NULL};
  if (map->null == NULL) map->null = piece_new(map->row);
  if (map->null == NULL) return gathers(map, GATHERED_NO_MEMORY, failure);
  if (!map->null->filled && !fill(map, map->null, add_text(&json, "null"), &json, failure)) return false;
  return put(map, args, map->null, failure);
}

/* The piece for the row's result, which is its place's; *found: an equal row has invoked for it. NULL: no
 * memory. */
static struct piece *piece_for(struct map_statement *map, const struct invoke_request *request, bool *found) {
  const struct slice parts[DISTINCT_PARTS] = {request->function, request->qualifier, request->region,
                                              request->role,     request->tenant_id, request->payload};
  void **made = map->options.distinct ? distinct_find(&map->distinct, parts) : NULL;
  if (map->options.distinct && made == NULL) return NULL;
  *found = made != NULL && *made != NULL;
  struct piece *piece = *found ? *made : piece_new(map->row);
  if (piece == NULL || *found) {
    if (piece != NULL) piece->users++;
    return piece;
  }
  piece->note = (int)on_failure(map);
  if (made != NULL) {
    *made = piece;
    piece->users++;
  }
  return piece;
}

static bool begin(struct map_statement *map, const struct invoke_request *request, struct piece *piece,
                  struct failure *failure) {
  const struct statement *statement = &map->statement;
  uint32_t timeout_ms = statement->settings.timeout_ms, own = map->options.timeout_ms;
  uint32_t width = map->options.concurrency > 0 ? map->options.concurrency : statement->concurrency;
  if (own > 0 && own < timeout_ms) timeout_ms = own;
  if (!map->started) flights_start(&map->flights, &statement->settings, statement->session, call_ended, map);
  map->started = true;
  return flights_begin(&map->flights, request, timeout_ms, width, piece, failure);
}

/* A row whose call may be made. */
static bool call_row(struct map_statement *map, const UDF_ARGS *args, struct invoke_request *request,
                     struct failure *failure) {
  bool found = false;
  request->qualifier = map->options.qualifier;
  request->region = map->options.region;
  request->role = map->options.role;
  request->tenant_id = map->options.tenant_id;
  request->answer_form = ANSWER_JSON;
  struct piece *piece = piece_for(map, request, &found);
  if (piece == NULL) return gathers(map, GATHERED_NO_MEMORY, failure);
  bool there = put(map, args, piece, failure) && (found || begin(map, request, piece, failure));
  piece_leave(piece);
  return there;
}

/* A row that is refused before anybody is asked. */
static bool refuse_row(struct map_statement *map, const UDF_ARGS *args, struct failure *failure) {
  if (failure->kind == FAILURE_PRIVILEGE) return false;
  if (map->options.function_error != OPTION_ERROR_RETURN) return of_row(map->row, failure);
  struct piece *piece = piece_new(map->row);
  if (piece == NULL) return gathers(map, GATHERED_NO_MEMORY, failure);
  bool there =
      fill_error(map, piece, (struct slice){.data = NULL}, failure) && put(map, args, piece, failure);
  piece_leave(piece);
  return there;
}

static bool run_row(struct map_statement *map, const UDF_ARGS *args, struct failure *failure) {
  struct invoke_request request = {.payload = argument(args, PAYLOAD)};
  if (!statement_may_invoke(&map->statement, failure)) return false;
  if (!aggregate_options_read(&map->options, AGGREGATE_MAP, argument(args, FUNCTION), failure))
    return of_row(map->row, failure);
  if (request.payload.data == NULL) return put_null(map, args, failure);
  request.function = map->options.function;
  if (!statement_complete_request(&map->statement, &request, failure)) return refuse_row(map, args, failure);
  return call_row(map, args, &request, failure);
}

/* ---- the entry points ---- */

static void fail_statement(struct map_statement *map, const struct failure *failure, unsigned char *error) {
  map->failed = true;
  flights_abandon(&map->flights);
  statement_fail(&map->statement, failure, error);
}

bool lambda_map_init(UDF_INIT *init, UDF_ARGS *args, char *message) {
  return statement_start(&map_function, init, args, message);
}

void lambda_map_deinit(UDF_INIT *init) {
  struct map_statement *map = (struct map_statement *)init->ptr;
  if (map != NULL) {
    flights_abandon(&map->flights);
    gathered_free(&map->gathered);
    bytes_free(&map->key);
    piece_leave(map->null);
    distinct_free(&map->distinct, leave_made);
    aggregate_options_free(&map->options);
  }
  statement_end(init);
}

/* For WITH ROLLUP the server makes a copy of the expression for each level, each with a UDF_INIT, and all of
 * them call with one state (sql/item_sum.cc, Item_rollup_sum_switcher): each row would come several times,
 * and the levels mix. Where it makes a copy for another purpose (a temporary table), that alone adds rows. */
static bool is_rolled_up(const struct map_statement *map, const UDF_INIT *caller, struct failure *failure) {
  if (map->adder == NULL || map->adder == caller) return false;
  failure_set(failure, FAILURE_ARGUMENT, "it cannot be used WITH ROLLUP");
  return true;
}

/* A group whose result nobody asked for (HAVING) has made its calls all the same, and they end first. */
void lambda_map_clear(UDF_INIT *init, unsigned char *is_null, unsigned char *error) {
  struct map_statement *map = (struct map_statement *)init->ptr;
  struct failure failure;
  *is_null = 0;
  if (map->failed) return;
  if (is_rolled_up(map, init, &failure) || (map->started && !flights_finish(&map->flights, &failure)))
    fail_statement(map, &failure, error);
  gathered_clear(&map->gathered, server_max_packet(map->statement.session));
  map->row = 0;
}

void lambda_map_add(UDF_INIT *init, UDF_ARGS *args, unsigned char *is_null, unsigned char *error) {
  struct map_statement *map = (struct map_statement *)init->ptr;
  struct failure failure;
  bool done = true;
  *is_null = 0;
  if (map->failed) {
    *error = 1;
    return;
  }
  map->adder = init;
  map->row++;
  enum statement_row row = statement_enter(&map->statement, &failure);
  if (row == ROW_RUNS) {
    done = run_row(map, args, &failure);
    statement_leave();
  } else if (row == ROW_FAILED) {
    done = false;
  } else if (!map->statement.explained) {
    done = put_null(map, args, &failure); /* lambda_udf.mode = skip */
  }
  if (!done) fail_statement(map, &failure, error);
}

static bool finish(struct map_statement *map, struct slice *array, struct failure *failure) {
  if (map->started && !flights_finish(&map->flights, failure)) return false;
  return gathers(map, gathered_finish(&map->gathered, array), failure);
}

char *lambda_map(UDF_INIT *init, UDF_ARGS *args, char *result, unsigned long *length, unsigned char *is_null,
                 unsigned char *error) {
  struct map_statement *map = (struct map_statement *)init->ptr;
  struct slice array = {.data = NULL};
  struct failure failure;
  (void)args, (void)result;
  *is_null = 1;
  if (map->failed) {
    *error = 1;
    return NULL;
  }
  enum statement_row row = statement_enter_result(&map->statement, &failure);
  if (row == ROW_RUNS) {
    if (!finish(map, &array, &failure)) row = ROW_FAILED;
    statement_leave();
  }
  if (row == ROW_FAILED) fail_statement(map, &failure, error);
  if (row != ROW_RUNS) return NULL;
  *is_null = 0;
  *length = array.length;
  return (char *)(uintptr_t)array.data;
}
