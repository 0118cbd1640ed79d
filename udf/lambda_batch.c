/* lambda_batch(function_or_options, column, …): few calls with many rows each, which are written as JSON
 * while they are read; the results as one JSON array in the order of the rows. Must not know how calls
 * travel, nor what a contract makes of the rows. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "aggregation.h"
#include "exports.h"
#include "quotas.h"

/* A function that takes a millisecond for a row answers within a second, and a failure names so many rows;
 * the time that an invocation takes by itself is some hundredth of that already. */
#define ROWS_DEFAULT 1000u
/* Of Lambda's 6 MB. */
#define BYTES_DEFAULT 5000000u
/* Of an event beside its rows: names, ids and accounts, each at most a few hundred bytes (server.h), up to
 * five times, and the API Gateway's fields. The signature is there four times, twice of them in base64. */
#define ENVELOPE ((size_t)16384)
#define SIGNATURES 5
/* 00000000-0000-4000-8000-000000000000 and a NUL (RFC 9562). */
#define QUERY_ID_SIZE 37
#define QUERY_ID_BYTES 16
/* "100000," in front of a row. */
#define NUMBER_SIZE 16

enum { FUNCTION = 0, COLUMNS }; /* the arguments */

struct batch_statement {
  struct aggregation base;
  struct bytes rows; /* of the batch that is not sent yet */
  uint32_t count;    /* of them */
  size_t cost;       /* bytes that they take in the event */
  struct bytes row;  /* the row's values, with commas between them */
  uint64_t number;   /* of the batch, from 0 on in the statement */
  char query_id[QUERY_ID_SIZE];
  struct bytes signature;
};

static const struct sql_function batch_function = {
    .name = "lambda_batch",
    .usage = "(function_or_options, column[, ...]) takes at least 2 arguments",
    .arguments_min = 2,
    .arguments_max = UINT_MAX,
    .state_size = sizeof(struct batch_statement),
    .type = INVOCATION_ROW,
    .payload_max = QUOTA_REQUEST_RESPONSE_MAX,
    .payload_kind = "RequestResponse",
    .values = COLUMNS,
    .result_max = SERVER_PACKET_MAX,
    .calls = COUNTER_BATCH_CALLS,
    .concurrency = CONCURRENCY_BATCH,
    .raises = true,
};

/* ---- results ---- */

static bool write_result(struct bytes *json, struct slice payload, const struct piece *piece) {
  (void)piece;
  return bytes_add(json, payload.data, payload.length);
}

/* {"error": {"kind": …, "message": …}} in the place of each of the batch's rows. */
static bool write_error(struct bytes *json, const struct failure *failure, struct slice document,
                        const struct piece *piece) {
  (void)document;
  if (!aggregation_write_error(json, failure) || !bytes_add(json, "}}", 2)) return false;
  size_t length = json->length;
  if (!bytes_reserve(json, (size_t)(piece->rows - 1) * (length + 2))) return false;
  for (unsigned int i = 1; i < piece->rows; i++)
    if (!bytes_add(json, ", ", 2) || !bytes_add(json, json->data, length)) return false;
  return true;
}

/* ---- what the sidecar needs to know of the statement ---- */

/* How Snowflake calls the type. */
static const char *type_name(enum value_kind kind) {
  switch (kind) {
    case VALUE_INTEGER:
    case VALUE_UNSIGNED:
    case VALUE_DIGITS:
      return "NUMBER";
    case VALUE_REAL:
      return "FLOAT";
    case VALUE_BINARY:
      return "BINARY";
    case VALUE_DATETIME:
      return "TIMESTAMP_NTZ";
    case VALUE_JSON:
      return "VARIANT";
    default:
      return "VARCHAR";
  }
}

/* (a1 NUMBER, a2 VARCHAR): the arguments have no names of their own. */
static bool write_signature(struct bytes *text, const struct value_type *types, unsigned int count) {
  char column[64];
  for (unsigned int i = COLUMNS; i < count; i++) {
    int length =
        snprintf(column, sizeof column, "%sa%u %s", i == COLUMNS ? "(" : ", ", i, type_name(types[i].kind));
    if (!bytes_add(text, column, (size_t)length)) return false;
  }
  return bytes_add(text, ")", 1);
}

/* A random UUID (RFC 9562, version 4). */
static bool write_query_id(char text[QUERY_ID_SIZE], struct failure *failure) {
  unsigned char id[QUERY_ID_BYTES];
  if (getrandom(id, sizeof id, 0) != (ssize_t)sizeof id)
    return failure_set(failure, FAILURE_SERVER, "the system has no random numbers for a query id");
  id[6] = (unsigned char)((id[6] & 0x0f) | 0x40);
  id[8] = (unsigned char)((id[8] & 0x3f) | 0x80);
  size_t at = 0;
  for (size_t i = 0; i < sizeof id; i++) {
    bool dash = i == 4 || i == 6 || i == 8 || i == 10;
    at += (size_t)snprintf(text + at, QUERY_ID_SIZE - at, "%s%02x", dash ? "-" : "", id[i]);
  }
  return true;
}

/* Once in a statement. */
static bool describe(struct batch_statement *batch, const UDF_ARGS *args, struct failure *failure) {
  if (batch->query_id[0] != '\0') return true;
  if (!write_signature(&batch->signature, batch->base.statement.types, args->arg_count))
    return failure_set(failure, FAILURE_SERVER, "no memory for the request");
  return write_query_id(batch->query_id, failure);
}

/* ---- batches ---- */

static void forget_rows(struct aggregation *base) {
  struct batch_statement *batch = (struct batch_statement *)base;
  batch->rows.length = 0;
  batch->count = 0;
  batch->cost = 0;
}

static struct slice slice_of(const struct bytes *bytes) {
  return (struct slice){.data = bytes->data, .length = bytes->length};
}

static struct invoke_request request_of(const struct batch_statement *batch) {
  const struct aggregate_options *options = &batch->base.options;
  struct invoke_request request = aggregation_request(&batch->base, slice_of(&batch->rows));
  request.batch = (struct invoke_batch){
      .contract = options->contract == BATCH_NONE ? BATCH_REDSHIFT : options->contract,
      .rows = batch->count,
      .number = batch->number,
      .query_id = {.data = batch->query_id, .length = QUERY_ID_SIZE - 1},
      .signature = slice_of(&batch->signature),
      .retry_service_errors = options->retry_service_errors,
  };
  return request;
}

/* The rows that are held become a batch, in its place and on its way. first is the number of the first one.
 */
static bool send_as(struct batch_statement *batch, struct piece *piece, struct failure *failure) {
  const struct slice no_key = {.data = NULL};
  struct aggregation *base = &batch->base;
  struct invoke_request request = request_of(batch);
  piece->rows = batch->count;
  if (!statement_complete_request(&base->statement, &request, failure))
    return aggregation_refuse(base, piece, failure) && aggregation_put(base, piece, false, no_key, failure);
  batch->number++;
  return aggregation_put(base, piece, false, no_key, failure) &&
         aggregation_begin(base, &request, piece, failure);
}

/* Sends the rows that are held, if there are any; next is the number of the row after them. */
static bool send(struct batch_statement *batch, unsigned long long next, struct failure *failure) {
  if (batch->count == 0) return true;
  struct piece *piece = piece_new(next - batch->count);
  if (piece == NULL) return aggregation_no_memory(failure);
  bool sent = send_as(batch, piece, failure);
  piece_leave(piece);
  forget_rows(&batch->base);
  return sent;
}

static bool end_rows(struct aggregation *base, struct failure *failure) {
  return send((struct batch_statement *)base, base->row + 1, failure);
}

/* ---- rows ---- */

static bool explain(enum json_written written, unsigned int column, struct failure *failure) {
  switch (written) {
    case WRITTEN:
      return true;
    case WRITTEN_NOT_UTF8:
      return failure_set(failure, FAILURE_ARGUMENT, "column %u is not UTF-8", column);
    case WRITTEN_NOT_A_NUMBER:
      return failure_set(failure, FAILURE_ARGUMENT, "column %u is a number that JSON does not have", column);
    default:
      return failure_set(failure, FAILURE_SERVER, "no memory for the request");
  }
}

/* The bytes that a value takes as JSON at least. */
static size_t least(enum value_kind kind, const UDF_ARGS *args, unsigned int index) {
  bool is_number =
      kind == VALUE_INTEGER || kind == VALUE_UNSIGNED || kind == VALUE_REAL || kind == VALUE_DIGITS;
  return is_number || args->args[index] == NULL ? 0 : args->lengths[index];
}

/* A row that could not be sent is not written: for the longest values that there are it would take seconds,
 * in which nobody looks for a KILL, and several times their memory. */
static bool may_fit(const struct batch_statement *batch, const UDF_ARGS *args, struct failure *failure) {
  size_t bytes = 0;
  for (unsigned int i = COLUMNS; i < args->arg_count; i++)
    bytes += least(batch->base.statement.types[i].kind, args, i);
  return bytes <= batch_function.payload_max ||
         failure_set(failure, FAILURE_ARGUMENT,
                     "payload too large: the row's values have %zu bytes, Lambda takes at most %lu for %s",
                     bytes, batch_function.payload_max, batch_function.payload_kind);
}

static bool write_row(struct batch_statement *batch, const UDF_ARGS *args, struct failure *failure) {
  batch->row.length = 0;
  if (!may_fit(batch, args, failure)) return false;
  for (unsigned int i = COLUMNS; i < args->arg_count; i++) {
    if (i > COLUMNS && !bytes_add(&batch->row, ",", 1)) return explain(WRITTEN_NO_MEMORY, i, failure);
    enum json_written written = value_write(&batch->row, batch->base.statement.types[i], args, i);
    if (written != WRITTEN) return explain(written, i, failure);
  }
  return true;
}

/* The bytes that the row takes in the event: brackets and a comma, and in Snowflake's, where the rows stand
 * in a string, its number and the escapes. */
static size_t cost_of(const struct batch_statement *batch) {
  size_t cost = batch->row.length + 3;
  if (batch->base.options.contract != BATCH_SNOWFLAKE) return cost;
  for (size_t i = 0; i < batch->row.length; i++)
    if (batch->row.data[i] == '"' || batch->row.data[i] == '\\') cost++;
  return cost + NUMBER_SIZE;
}

static bool add_row(struct batch_statement *batch, size_t cost, struct failure *failure) {
  char start[NUMBER_SIZE + 2] = "[";
  struct bytes *rows = &batch->rows;
  if (batch->base.options.contract == BATCH_SNOWFLAKE)
    (void)snprintf(start, sizeof start, "[%u,", batch->count);
  if ((batch->count > 0 && !bytes_add(rows, ",", 1)) || !bytes_add(rows, start, strlen(start)) ||
      !bytes_add(rows, batch->row.data, batch->row.length) || !bytes_add(rows, "]", 1))
    return explain(WRITTEN_NO_MEMORY, COLUMNS, failure);
  batch->count++;
  batch->cost += cost;
  return true;
}

/* The bytes that the rows of a batch may take. */
static size_t room_of(const struct batch_statement *batch) {
  size_t bytes = batch->base.options.batch_bytes > 0 ? batch->base.options.batch_bytes : BYTES_DEFAULT;
  size_t envelope = ENVELOPE + SIGNATURES * batch->signature.length;
  return bytes > 2 * envelope ? bytes - envelope : bytes / 2;
}

/* Adds the row that has been written, to the rows that are held if there is room for it, and sends what is
 * full. A row that is too long for any batch goes alone. */
static bool take_row(struct batch_statement *batch, struct failure *failure) {
  const struct aggregate_options *options = &batch->base.options;
  unsigned long long row = batch->base.row;
  uint32_t most = options->batch_rows > 0 ? options->batch_rows : ROWS_DEFAULT;
  size_t cost = cost_of(batch), room = room_of(batch);
  if (batch->cost + cost > room && !send(batch, row, failure)) return false;
  if (!add_row(batch, cost, failure)) return false;
  return (batch->count < most && batch->cost < room) || send(batch, row + 1, failure);
}

/* A row that is refused before anybody is asked, for which the rows before it make way. */
static bool refuse_row(struct batch_statement *batch, struct failure *failure) {
  struct failure other;
  struct piece *piece = piece_new(batch->base.row);
  if (piece == NULL) return aggregation_no_memory(failure);
  bool there = aggregation_refuse(&batch->base, piece, failure);
  if (there && !send(batch, batch->base.row, &other)) {
    *failure = other;
    there = false;
  }
  there = there && aggregation_put(&batch->base, piece, false, (struct slice){.data = NULL}, failure);
  piece_leave(piece);
  return there;
}

/* Rows under other options, another function's too, are another batch. */
static bool follow_options(struct batch_statement *batch, struct slice given, struct failure *failure) {
  struct aggregate_options *options = &batch->base.options;
  if (aggregate_options_are(options, given)) return true;
  if (!send(batch, batch->base.row, failure)) return false;
  return aggregate_options_read(options, AGGREGATE_BATCH, given, failure) ||
         aggregation_of_rows(batch->base.row, 1, failure);
}

static bool run_row(struct aggregation *base, const UDF_ARGS *args, struct failure *failure) {
  struct batch_statement *batch = (struct batch_statement *)base;
  if (!statement_may_invoke(&base->statement, failure) || !describe(batch, args, failure) ||
      !follow_options(batch, statement_argument(args, FUNCTION), failure))
    return false;
  if (!write_row(batch, args, failure)) return refuse_row(batch, failure);
  return take_row(batch, failure);
}

static bool skip_row(struct aggregation *base, const UDF_ARGS *args, struct failure *failure) {
  (void)args;
  struct piece *null = aggregation_null(base, failure);
  return null != NULL && aggregation_put(base, null, false, (struct slice){.data = NULL}, failure);
}

/* ---- the entry points ---- */

static const struct aggregate_steps batch_steps = {
    .run_row = run_row,
    .skip_row = skip_row,
    .end_rows = end_rows,
    .forget_rows = forget_rows,
    .write_result = write_result,
    .write_error = write_error,
};

bool lambda_batch_init(UDF_INIT *init, UDF_ARGS *args, char *message) {
  return aggregation_init(&batch_function, &batch_steps, init, args, message);
}

void lambda_batch_deinit(UDF_INIT *init) {
  struct batch_statement *batch = (struct batch_statement *)init->ptr;
  if (batch != NULL) {
    flights_abandon(&batch->base.flights); /* its calls point to the ids */
    bytes_free(&batch->rows);
    bytes_free(&batch->row);
    bytes_free(&batch->signature);
  }
  aggregation_deinit(init);
}

void lambda_batch_clear(UDF_INIT *init, unsigned char *is_null, unsigned char *error) {
  aggregation_clear(init, is_null, error);
}

void lambda_batch_add(UDF_INIT *init, UDF_ARGS *args, unsigned char *is_null, unsigned char *error) {
  aggregation_add(init, args, is_null, error);
}

char *lambda_batch(UDF_INIT *init, UDF_ARGS *args, char *result, unsigned long *length,
                   unsigned char *is_null, unsigned char *error) {
  (void)args, (void)result;
  return aggregation_result(init, length, is_null, error);
}
