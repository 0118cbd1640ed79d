/* lambda_map(function_or_options, payload[, key]): a call for each row, many at a time; the results as one
 * JSON array in the order of the rows. Must not know how calls travel, nor how results find their places. */
#include "aggregation.h"
#include "distinct.h"
#include "exports.h"
#include "quotas.h"

enum { FUNCTION = 0, PAYLOAD, KEY }; /* the arguments */

struct map_statement {
  struct aggregation base;
  struct distinct distinct; /* of the whole statement, not of a group */
  struct bytes key;         /* the row's */
};

static const struct sql_function map_function = {
    .name = "lambda_map",
    .usage = "(function_or_options, payload[, key]) takes 2 or 3 arguments",
    .arguments_min = 2,
    .arguments_max = 3,
    .state_size = sizeof(struct map_statement),
    .type = INVOCATION_ROW,
    .payload_max = QUOTA_REQUEST_RESPONSE_MAX,
    .payload_kind = "RequestResponse",
    .values = KEY,
    .result_max = SERVER_PACKET_MAX,
    .calls = COUNTER_MAP_CALLS,
    .concurrency = CONCURRENCY_MAP,
    .raises = true,
};

/* ---- results ---- */

static bool write_result(struct bytes *json, struct slice payload, const struct piece *piece) {
  (void)piece;
  payload = slice_or(payload, SIZE_MAX, "null");
  return bytes_add(json, payload.data, payload.length);
}

/* {"error": {"kind": …, "message": …[, "document": …]}} */
static bool write_error(struct bytes *json, const struct failure *failure, struct slice document,
                        const struct piece *piece) {
  (void)piece;
  bool written = aggregation_write_error(json, failure);
  if (written && document.length > 0)
    written = bytes_add_text(json, ", \"document\": ") && bytes_add(json, document.data, document.length);
  return written && bytes_add_text(json, "}}");
}

static void leave_made(void *made) { piece_leave(made); }

/* ---- rows ---- */

/* The row's key as JSON, if there is one. */
static bool write_key(struct map_statement *map, const UDF_ARGS *args, struct failure *failure) {
  map->key.length = 0;
  if (args->arg_count <= KEY) return true;
  switch (value_write(&map->key, map->base.statement.types[KEY], args, KEY)) {
    case WRITTEN:
      return true;
    case WRITTEN_NOT_UTF8:
      failure_set(failure, FAILURE_ARGUMENT, "the key is not UTF-8");
      return aggregation_of_rows(map->base.row, 1, failure);
    case WRITTEN_NOT_A_NUMBER:
      failure_set(failure, FAILURE_ARGUMENT, "the key is a number that JSON does not have");
      return aggregation_of_rows(map->base.row, 1, failure);
    default:
      return aggregation_no_memory(failure);
  }
}

/* The row's place in the array. */
static bool put(struct map_statement *map, const UDF_ARGS *args, struct piece *piece,
                struct failure *failure) {
  if (!write_key(map, args, failure)) return false;
  struct slice key = {.data = map->key.data, .length = map->key.length};
  return aggregation_put(&map->base, piece, args->arg_count > KEY, key, failure);
}

static bool put_null(struct aggregation *base, const UDF_ARGS *args, struct failure *failure) {
  struct piece *null = aggregation_null(base, failure);
  return null != NULL && put((struct map_statement *)base, args, null, failure);
}

/* The piece for the row's result, which is its place's; *found: an equal row has invoked for it. NULL: no
 * memory. */
static struct piece *piece_for(struct map_statement *map, const struct invoke_request *request, bool *found) {
  const struct slice parts[DISTINCT_PARTS] = {request->function, request->qualifier, request->region,
                                              request->role,     request->tenant_id, request->payload};
  void **made = map->base.options.distinct ? distinct_find(&map->distinct, parts) : NULL;
  if (map->base.options.distinct && made == NULL) return NULL;
  *found = made != NULL && *made != NULL;
  struct piece *piece = *found ? *made : piece_new(map->base.row);
  if (piece == NULL || *found) {
    if (piece != NULL) piece->users++;
    return piece;
  }
  if (made != NULL) {
    *made = piece;
    piece->users++;
  }
  return piece;
}

/* A row whose call may be made. */
static bool call_row(struct map_statement *map, const UDF_ARGS *args, struct invoke_request *request,
                     struct failure *failure) {
  bool found = false;
  struct piece *piece = piece_for(map, request, &found);
  if (piece == NULL) return aggregation_no_memory(failure);
  bool there =
      put(map, args, piece, failure) && (found || aggregation_begin(&map->base, request, piece, failure));
  piece_leave(piece);
  return there;
}

/* A row that is refused before anybody is asked. */
static bool refuse_row(struct map_statement *map, const UDF_ARGS *args, struct failure *failure) {
  struct piece *piece = piece_new(map->base.row);
  if (piece == NULL) return aggregation_no_memory(failure);
  bool there = aggregation_refuse(&map->base, piece, failure) && put(map, args, piece, failure);
  piece_leave(piece);
  return there;
}

static bool run_row(struct aggregation *base, const UDF_ARGS *args, struct failure *failure) {
  struct map_statement *map = (struct map_statement *)base;
  struct slice payload = statement_argument(args, PAYLOAD);
  if (!statement_may_invoke(&base->statement, failure)) return false;
  if (!aggregate_options_read(&base->options, AGGREGATE_MAP, statement_argument(args, FUNCTION), failure))
    return aggregation_of_rows(base->row, 1, failure);
  if (payload.data == NULL) return put_null(base, args, failure);
  struct invoke_request request = aggregation_request(base, payload);
  if (!statement_complete_request(&base->statement, &request, failure)) return refuse_row(map, args, failure);
  return call_row(map, args, &request, failure);
}

/* ---- the entry points ---- */

static const struct aggregate_steps map_steps = {
    .run_row = run_row,
    .skip_row = put_null,
    .write_result = write_result,
    .write_error = write_error,
};

bool lambda_map_init(UDF_INIT *init, UDF_ARGS *args, char *message) {
  return aggregation_init(&map_function, &map_steps, init, args, message);
}

void lambda_map_deinit(UDF_INIT *init) {
  struct map_statement *map = (struct map_statement *)init->ptr;
  if (map != NULL) {
    bytes_free(&map->key);
    distinct_free(&map->distinct, leave_made);
  }
  aggregation_deinit(init);
}

void lambda_map_clear(UDF_INIT *init, unsigned char *is_null, unsigned char *error) {
  aggregation_clear(init, is_null, error);
}

void lambda_map_add(UDF_INIT *init, UDF_ARGS *args, unsigned char *is_null, unsigned char *error) {
  aggregation_add(init, args, is_null, error);
}

char *lambda_map(UDF_INIT *init, UDF_ARGS *args, char *result, unsigned long *length, unsigned char *is_null,
                 unsigned char *error) {
  (void)args, (void)result;
  return aggregation_result(init, length, is_null, error);
}
