/* The entry points of the SQL functions, one row at a time: from arguments to the result that mysqld reads.
 * Must not know what a statement has to pass, nor how a call travels. */
#include <stdio.h>
#include <string.h>

#include "durable_name.h"
#include "exports.h"
#include "invoke.h"
#include "option_trace.h"
#include "outbox_hint.h"
#include "quotas.h"
#include "server.h"
#include "statement.h"

/* {"StatusCode": 202, "RequestId": "…"} with room for a longer id than a UUID. */
#define ACCEPTED_SIZE 128

/* A statement of a function that answers each row by itself. */
struct row_statement {
  struct statement statement;
  struct call_answer answer;    /* the last row's, into which its result points */
  char accepted[ACCEPTED_SIZE]; /* or lambda_async's */
};

/* The row's arguments: (function, payload[, options]), (arn) or (id, result or error[, options]). */
static struct invoke_request request_of(const struct sql_function *function, const UDF_ARGS *args) {
  struct invoke_request request = {
      .function = statement_argument(args, 0),
      .payload = statement_argument(args, 1),
      .options = statement_argument(args, 2),
  };
  if (function->type == INVOCATION_EXECUTION) request.payload = (struct slice){.data = ""};
  if (function->type == INVOCATION_CALLBACK_SUCCESS || function->type == INVOCATION_CALLBACK_FAILURE) {
    request.callback_options = request.options;
    request.options = (struct slice){.data = NULL};
  }
  return request;
}

/* One row that may invoke. False: failure says why there is no result. */
static bool invoke_row(struct row_statement *row, const UDF_ARGS *args, struct failure *failure) {
  const struct statement *statement = &row->statement;
  struct invoke_request request = request_of(statement->function, args);
  char name[DURABLE_NAME_MAX];
  if (!statement_complete_request(statement, &request, failure)) return false;
  request.durable_name = durable_name(request.options, name);
  call_answer_free(&row->answer);
  return invoke(&request, &statement->settings, statement->session, &row->answer, failure) &&
         statement_accepts(statement, &row->answer.response.result, failure);
}

/* lambda_invoke's option traceparent goes before the statement's, as in what the sidecar sends and logs. */
static void fail_row(const struct statement *statement, const UDF_ARGS *args, const struct failure *failure,
                     unsigned char *error) {
  struct statement traced = *statement;
  if (statement->function->type == INVOCATION_AS_OPTIONS_SAY)
    option_trace(statement_argument(args, 2), traced.traceparent);
  statement_fail(&traced, failure, error);
}

/* One row. NULL: its result is NULL, or it failed and so does the statement. */
static const struct invoke_result *evaluate_row(UDF_INIT *init, const UDF_ARGS *args, unsigned char *is_null,
                                                unsigned char *error) {
  struct row_statement *row = (struct row_statement *)init->ptr;
  struct failure failure;
  *error = 0;
  enum statement_row outcome = statement_enter(&row->statement, &failure);
  if (outcome == ROW_RUNS) {
    if (!invoke_row(row, args, &failure)) outcome = ROW_FAILED;
    statement_leave();
  }
  if (outcome == ROW_FAILED) fail_row(&row->statement, args, &failure, error);
  *is_null = outcome != ROW_RUNS;
  return outcome == ROW_RUNS ? &row->answer.response.result : NULL;
}

static void end_rows(UDF_INIT *init) {
  struct row_statement *row = (struct row_statement *)init->ptr;
  if (row != NULL) call_answer_free(&row->answer);
  statement_end(init);
}

/* One row whose result is the answer's payload. */
static char *payload_row(UDF_INIT *init, UDF_ARGS *args, char *result, unsigned long *length,
                         unsigned char *is_null, unsigned char *error) {
  const struct invoke_result *answer = evaluate_row(init, args, is_null, error);
  if (answer == NULL) return NULL;
  *length = answer->payload.length;
  /* An empty answer has no bytes to point at; the server's own buffer will do. */
  if (answer->payload.length == 0) return result;
  /* The server looks for a NUL behind a string's last byte (String::c_ptr). Here stands the next field's
   * tag, which has been read, or grpc_message's own NUL. */
  char *payload = (char *)(uintptr_t)answer->payload.data;
  payload[answer->payload.length] = '\0';
  return payload;
}

/* One row whose result is that Lambda has taken it. */
static char *accepted_row(UDF_INIT *init, const UDF_ARGS *args, unsigned long *length, unsigned char *is_null,
                          unsigned char *error) {
  struct row_statement *row = (struct row_statement *)init->ptr;
  const struct invoke_result *answer = evaluate_row(init, args, is_null, error);
  if (answer == NULL) return NULL;
  struct slice id = contract_checked_id(answer->request_id);
  *length = (unsigned long)snprintf(row->accepted, sizeof row->accepted,
                                    "{\"StatusCode\": %u, \"RequestId\": \"%.*s\"}", answer->status_code,
                                    (int)id.length, id.data);
  return row->accepted;
}

/* ---- lambda_sync(function, payload): what the function returned ---- */

static const struct sql_function sync_function = {
    .name = "lambda_sync",
    .usage = "(function, payload) takes 2 arguments",
    .arguments_min = 2,
    .arguments_max = 2,
    .state_size = sizeof(struct row_statement),
    .type = INVOCATION_REQUEST_RESPONSE,
    .payload_max = QUOTA_REQUEST_RESPONSE_MAX,
    .payload_kind = "RequestResponse",
    .result_max = QUOTA_RESPONSE_MAX, /* large results are a LONGTEXT to the server */
    .calls = COUNTER_SYNC_CALLS,
    .raises = true,
};

bool lambda_sync_init(UDF_INIT *init, UDF_ARGS *args, char *message) {
  return statement_start(&sync_function, init, args, message);
}

void lambda_sync_deinit(UDF_INIT *init) { end_rows(init); }

char *lambda_sync(UDF_INIT *init, UDF_ARGS *args, char *result, unsigned long *length, unsigned char *is_null,
                  unsigned char *error) {
  return payload_row(init, args, result, length, is_null, error);
}

/* ---- lambda_async(function, payload): that Lambda has accepted the event ---- */

static const struct sql_function async_function = {
    .name = "lambda_async",
    .usage = "(function, payload) takes 2 arguments",
    .arguments_min = 2,
    .arguments_max = 2,
    .state_size = sizeof(struct row_statement),
    .type = INVOCATION_EVENT,
    .payload_max = QUOTA_EVENT_MAX,
    .payload_kind = "Event",
    .result_max = ACCEPTED_SIZE,
    .calls = COUNTER_ASYNC_CALLS,
    .raises = true,
};

bool lambda_async_init(UDF_INIT *init, UDF_ARGS *args, char *message) {
  return statement_start(&async_function, init, args, message);
}

void lambda_async_deinit(UDF_INIT *init) { end_rows(init); }

char *lambda_async(UDF_INIT *init, UDF_ARGS *args, char *result, unsigned long *length,
                   unsigned char *is_null, unsigned char *error) {
  (void)result;
  return accepted_row(init, args, length, is_null, error);
}

/* ---- lambda_invoke(function, payload[, options]): everything that Lambda says, as one document ---- */

static const struct sql_function invoke_function = {
    .name = "lambda_invoke",
    .usage = "(function, payload[, options]) takes 2 or 3 arguments",
    .arguments_min = 2,
    .arguments_max = 3,
    .state_size = sizeof(struct row_statement),
    .type = INVOCATION_AS_OPTIONS_SAY, /* and so the sidecar checks the size for an Event */
    .payload_max = QUOTA_REQUEST_RESPONSE_MAX,
    .payload_kind = "RequestResponse",
    .result_max = SERVER_PACKET_MAX,
    .calls = COUNTER_INVOKE_CALLS,
    .streams = true,
    .raises = false,
};

bool lambda_invoke_init(UDF_INIT *init, UDF_ARGS *args, char *message) {
  return statement_start(&invoke_function, init, args, message);
}

void lambda_invoke_deinit(UDF_INIT *init) { end_rows(init); }

char *lambda_invoke(UDF_INIT *init, UDF_ARGS *args, char *result, unsigned long *length,
                    unsigned char *is_null, unsigned char *error) {
  return payload_row(init, args, result, length, is_null, error);
}

/* ---- lambda_execution(arn): a durable execution as one document ---- */

static const struct sql_function execution_function = {
    .name = "lambda_execution",
    .usage = "(arn) takes 1 argument",
    .arguments_min = 1,
    .arguments_max = 1,
    .state_size = sizeof(struct row_statement),
    .type = INVOCATION_EXECUTION,
    .result_max = QUOTA_RESPONSE_MAX + QUOTA_BESIDE_RESPONSE_MAX,
    .calls = COUNTER_EXECUTION_CALLS,
};

bool lambda_execution_init(UDF_INIT *init, UDF_ARGS *args, char *message) {
  return statement_start(&execution_function, init, args, message);
}

void lambda_execution_deinit(UDF_INIT *init) { end_rows(init); }

char *lambda_execution(UDF_INIT *init, UDF_ARGS *args, char *result, unsigned long *length,
                       unsigned char *is_null, unsigned char *error) {
  return payload_row(init, args, result, length, is_null, error);
}

/* ---- lambda_callback(id, result[, options]) and its failure: a workflow that waits goes on ---- */

static const struct sql_function callback_function = {
    .name = "lambda_callback",
    .usage = "(id, result[, options]) takes 2 or 3 arguments",
    .arguments_min = 2,
    .arguments_max = 3,
    .state_size = sizeof(struct row_statement),
    .type = INVOCATION_CALLBACK_SUCCESS,
    .payload_max = QUOTA_CALLBACK_RESULT_MAX,
    .payload_kind = "a callback",
    .result_max = ACCEPTED_SIZE,
    .calls = COUNTER_CALLBACK_CALLS,
};

bool lambda_callback_init(UDF_INIT *init, UDF_ARGS *args, char *message) {
  return statement_start(&callback_function, init, args, message);
}

void lambda_callback_deinit(UDF_INIT *init) { end_rows(init); }

char *lambda_callback(UDF_INIT *init, UDF_ARGS *args, char *result, unsigned long *length,
                      unsigned char *is_null, unsigned char *error) {
  (void)result;
  return accepted_row(init, args, length, is_null, error);
}

static const struct sql_function callback_failure_function = {
    .name = "lambda_callback_failure",
    .usage = "(id, error[, options]) takes 2 or 3 arguments",
    .arguments_min = 2,
    .arguments_max = 3,
    .state_size = sizeof(struct row_statement),
    .type = INVOCATION_CALLBACK_FAILURE,
    .payload_max = QUOTA_CALLBACK_RESULT_MAX,
    .payload_kind = "a callback",
    .result_max = ACCEPTED_SIZE,
    .calls = COUNTER_CALLBACK_CALLS,
};

bool lambda_callback_failure_init(UDF_INIT *init, UDF_ARGS *args, char *message) {
  return statement_start(&callback_failure_function, init, args, message);
}

void lambda_callback_failure_deinit(UDF_INIT *init) { end_rows(init); }

char *lambda_callback_failure(UDF_INIT *init, UDF_ARGS *args, char *result, unsigned long *length,
                              unsigned char *is_null, unsigned char *error) {
  (void)result;
  return accepted_row(init, args, length, is_null, error);
}

/* ---- lambda_outbox_hint(): for the trigger on the outbox ---- */

bool lambda_outbox_hint_init(UDF_INIT *init, UDF_ARGS *args, char *message) {
  static const char name[] = "lambda_outbox_hint";
  const char *missing = "";
  if (args->arg_count != 0) {
    (void)snprintf(message, MYSQL_ERRMSG_SIZE, "%s%s, %u given", name, "() takes no arguments",
                   args->arg_count);
    return true;
  }
  if (!server_attach(&missing)) {
    (void)snprintf(message, MYSQL_ERRMSG_SIZE, "%s needs MySQL 8.0 or newer; this server lacks %s", name,
                   missing);
    return true;
  }
  init->maybe_null = false;
  init->const_item = false; /* otherwise EXPLAIN would evaluate it */
  return false;
}

long long lambda_outbox_hint(UDF_INIT *init, UDF_ARGS *args, unsigned char *is_null, unsigned char *error) {
  (void)init;
  (void)args;
  *is_null = 0;
  *error = 0;
  return outbox_hint() ? 1 : 0;
}
