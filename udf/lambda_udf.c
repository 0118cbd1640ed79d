/* The entry points of the SQL functions: arguments, NULL, result buffer.
 * The only file that knows the shape of a loadable function; must not know how a call travels. */
#include "lambda_udf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "arguments.h"
#include "component.h"
#include "contract.h"
#include "counters.h"
#include "explain.h"
#include "failure.h"
#include "grpc_wire.h"
#include "invoke.h"
#include "mysql_abi.h"
#include "server.h"
#include "settings.h"
#include "utf8.h"

/* Lambda quotas, invocation payload (request): 6 MB synchronous, 1 MB asynchronous. */
#define REQUEST_RESPONSE_MAX 6291456u
#define EVENT_MAX 1048576u
/* Lambda quotas, synchronous response; large results are a LONGTEXT to the server. */
#define RESULT_MAX 6291556u
/* lambda_invoke's document: the response, a 4 KB log tail as a JSON string, and the small fields. */
#define DOCUMENT_MAX (RESULT_MAX + 65536u)
/* client_context is the longest option, 3,583 bytes in base64 (Invoke API); the rest needs far less. */
#define OPTIONS_MAX 16384u
/* botocore's model of Lambda, NamespacedFunctionName: at most 256 characters, all of them ASCII. */
#define FUNCTION_NAME_MAX 256u
/* {"StatusCode": 202, "RequestId": "…"} with room for a longer id than a UUID. */
#define ACCEPTED_SIZE 128
#define REQUEST_ID_MAX 64

/* What one SQL function is. */
struct function {
  const char *name;
  const char *usage; /* completes "name" in the error for a wrong number of arguments */
  unsigned int arguments_min, arguments_max;
  enum invocation_type type;
  unsigned long payload_max;
  const char *payload_kind; /* what Lambda takes that much for */
  unsigned long result_max;
  enum counter calls;
  bool raises; /* a function that raised fails the statement, unless lambda_udf.function_error = return */
};

static const struct function sync_function = {
    "lambda_sync",
    "(function, payload) takes 2 arguments",
    2,
    2,
    INVOCATION_REQUEST_RESPONSE,
    REQUEST_RESPONSE_MAX,
    "RequestResponse",
    RESULT_MAX,
    COUNTER_SYNC_CALLS,
    true,
};
static const struct function async_function = {
    "lambda_async",
    "(function, payload) takes 2 arguments",
    2,
    2,
    INVOCATION_EVENT,
    EVENT_MAX,
    "Event",
    ACCEPTED_SIZE,
    COUNTER_ASYNC_CALLS,
    true,
};
static const struct function invoke_function = {
    "lambda_invoke",
    "(function, payload[, options]) takes 2 or 3 arguments",
    2,
    3,
    INVOCATION_AS_OPTIONS_SAY, /* and so the sidecar checks the size for an Event */
    REQUEST_RESPONSE_MAX,
    "RequestResponse",
    DOCUMENT_MAX,
    COUNTER_INVOKE_CALLS,
    false,
};

/* What lives from init to deinit: one function in one statement. */
struct statement {
  const struct function *function;
  MYSQL_THD session;
  struct server_account account;
  struct settings settings; /* once settings_known; the same for all rows of the statement */
  bool settings_known;
  bool begun;                  /* the first row has been evaluated */
  bool explained;              /* once begun: the statement is EXPLAIN and nothing is executed */
  uint32_t component;          /* component_generation() when the statement began */
  bool warned;                 /* of calls that are left out: once is enough */
  struct grpc_message *answer; /* the last row's; its result points into it */
  char accepted[ACCEPTED_SIZE];
};

static bool start_statement(UDF_INIT *init, UDF_ARGS *args, char *message, const struct function *function) {
  const char *name = function->name, *missing = "";
  if (args->arg_count < function->arguments_min || args->arg_count > function->arguments_max) {
    (void)snprintf(message, MYSQL_ERRMSG_SIZE, "%s%s, %u given", name, function->usage, args->arg_count);
    return true;
  }
  if (!server_attach(&missing)) {
    (void)snprintf(message, MYSQL_ERRMSG_SIZE, "%s needs MySQL 8.0 or newer; this server lacks %s", name,
                   missing);
    return true;
  }
  MYSQL_THD session = server_session();
  if (!arguments_settle(init, args, session)) {
    (void)snprintf(message, MYSQL_ERRMSG_SIZE, "the server refuses utf8mb4 for the arguments of %s", name);
    return true;
  }
  struct statement *statement = calloc(1, sizeof *statement);
  if (statement == NULL) {
    (void)snprintf(message, MYSQL_ERRMSG_SIZE, "no memory for %s", name);
    return true;
  }
  statement->function = function;
  statement->session = session;
  /* Looked up now, refused at the first invocation: refusing here would break CREATE VIEW, CHECK
   * TABLE and mysqldump. */
  statement->component = component_generation();
  const char *privilege = statement->component != 0 ? COMPONENT_PRIVILEGE : NULL;
  if (!server_account(statement->session, privilege, &statement->account))
    statement->account.may_invoke = false;
  init->ptr = (char *)statement;
  init->maybe_null = true;
  init->const_item = false; /* every evaluation invokes */
  init->max_length = function->result_max;
  return false;
}

static void end_statement(UDF_INIT *init) {
  struct statement *statement = (struct statement *)init->ptr;
  if (statement == NULL) return;
  free(statement->answer);
  free(statement);
  init->ptr = NULL;
}

/* lambda_invoke's third argument; the sidecar reads it. */
static bool check_options(const char *text, unsigned long length, struct failure *failure) {
  if (length == 0)
    return failure_set(failure, FAILURE_ARGUMENT,
                       "options are empty; a JSON object is expected, {} at least");
  if (length > OPTIONS_MAX)
    return failure_set(failure, FAILURE_ARGUMENT, "options too long: %lu bytes, at most %u are allowed",
                       length, OPTIONS_MAX);
  if (!utf8_is_valid(text, length))
    return failure_set(failure, FAILURE_ARGUMENT, "options are not JSON: they are not UTF-8");
  return true;
}

/* Everything that can be refused without asking anyone. */
static bool check_arguments(const struct function *function, const UDF_ARGS *args, struct failure *failure) {
  if (args->args[0] == NULL) return failure_set(failure, FAILURE_ARGUMENT, "function is NULL");
  if (args->args[1] == NULL)
    return failure_set(failure, FAILURE_ARGUMENT,
                       "payload is NULL (does a CONCAT argument evaluate to NULL? JSON_OBJECT keeps it)");
  if (args->lengths[0] > FUNCTION_NAME_MAX)
    return failure_set(failure, FAILURE_ARGUMENT,
                       "not a function name or ARN: it has %lu bytes, at most %u are allowed",
                       args->lengths[0], FUNCTION_NAME_MAX);
  /* The contract's strings are UTF-8; binary arguments come as they are. */
  if (!utf8_is_valid(args->args[0], args->lengths[0]))
    return failure_set(failure, FAILURE_ARGUMENT, "not a function name or ARN: it is not UTF-8");
  if (args->lengths[1] > function->payload_max)
    return failure_set(failure, FAILURE_ARGUMENT,
                       "payload too large: it has %lu bytes, Lambda takes at most %lu for %s",
                       args->lengths[1], function->payload_max, function->payload_kind);
  return args->arg_count < 3 || args->args[2] == NULL ||
         check_options(args->args[2], args->lengths[2], failure);
}

/* The settings for the statement, read at its first row. False: failure says which is wrong. */
static bool know_settings(struct statement *statement, bool variables, struct failure *failure) {
  if (!statement->settings_known)
    statement->settings_known = settings_read(statement->session, variables, &statement->settings, failure);
  return statement->settings_known;
}

static uint64_t microseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* One invocation, counted. */
static bool invoke_counted(struct statement *statement, struct invoke_request *request,
                           struct grpc_message **answer, struct invoke_response *response,
                           struct failure *failure) {
  uint64_t began = microseconds();
  counter_add(COUNTER_IN_FLIGHT, 1);
  bool done = invoke(request, &statement->settings, statement->session, answer, response, failure);
  counter_add(COUNTER_IN_FLIGHT, -1);
  counter_call_time(microseconds() - began);
  if (done) counter_add(COUNTER_BYTES_IN, (int64_t)response->payload.length);
  return done;
}

/* lambda_invoke's third argument; an empty object where there is none or it is NULL. */
static struct slice options(const struct function *function, const UDF_ARGS *args) {
  if (function->type != INVOCATION_AS_OPTIONS_SAY) return (struct slice){NULL, 0};
  if (args->arg_count < 3 || args->args[2] == NULL) return (struct slice){"{}", 2};
  return (struct slice){args->args[2], args->lengths[2]};
}

/* One row that is to invoke. False: failure says why. */
static bool invoke_row(struct statement *statement, const UDF_ARGS *args, struct invoke_response *response,
                       struct failure *failure) {
  const struct function *function = statement->function;
  const struct server_account *account = &statement->account;
  if (!account->may_invoke) return failure_set(failure, FAILURE_PRIVILEGE, "access denied");
  if (!check_arguments(function, args, failure)) return false;

  struct invoke_request request = {
      .type = function->type,
      .options = options(function, args),
      .function = {args->args[0], args->lengths[0]},
      .payload = {args->args[1], args->lengths[1]},
      .user = {account->user, strlen(account->user)},
      .host = {account->host, strlen(account->host)},
      .schema = {account->schema, strlen(account->schema)},
      .connection_id = account->connection_id,
  };
  free(statement->answer);
  statement->answer = NULL;
  struct grpc_message *answer = NULL;
  if (!invoke_counted(statement, &request, &answer, response, failure)) return false;
  statement->answer = answer;
  if (response->function_error.length > 0 && function->raises &&
      statement->settings.function_error == FUNCTION_ERROR_ERROR) {
    struct slice reason = slice_or(response->function_error_text, FAILURE_TEXT_SIZE, "it gave no reason");
    return failure_set(failure, FAILURE_FUNCTION, "Lambda function error: %.*s", (int)reason.length,
                       reason.data);
  }
  return true;
}

static void warn_once(struct statement *statement, const char *text) {
  if (!statement->warned) server_warn(statement->session, statement->function->name, text);
  statement->warned = true;
}

/* EXPLAIN evaluates what depends on constant tables alone. A stored function that it evaluates runs for good
 * and may write rows (refman: EXPLAIN Statement), so what its body says is executed here too; a cursor's
 * query there cannot be told from what is explained. Looked up at the first row and not in init, which runs
 * for every row of a trigger. */
static bool is_explained(struct statement *statement) {
  if (!statement->begun) {
    MYSQL_LEX_CSTRING text = server_statement_text(statement->session);
    statement->explained = text.str != NULL && explain_only(text.str, text.length) &&
                           server_evaluates_statement(statement->session);
    statement->begun = true;
  }
  if (statement->explained) warn_once(statement, "not invoked: EXPLAIN executes nothing; the result is NULL");
  return statement->explained;
}

/* What became of a row. */
enum outcome { ROW_ANSWERED, ROW_SKIPPED, ROW_FAILED };

/* One row as lambda_udf.mode says. ROW_FAILED: failure says why. */
static enum outcome follow_mode(struct statement *statement, bool variables, const UDF_ARGS *args,
                                struct invoke_response *response, struct failure *failure) {
  if (!know_settings(statement, variables, failure)) return ROW_FAILED;
  switch (statement->settings.mode) {
    case MODE_SKIP:
      return ROW_SKIPPED;
    case MODE_DENY:
      failure_set(failure, FAILURE_DENIED, "denied, because lambda_udf.mode is 'deny'");
      return ROW_FAILED;
    default:
      return invoke_row(statement, args, response, failure) ? ROW_ANSWERED : ROW_FAILED;
  }
}

/* One row, while the component cannot go. ROW_FAILED: failure says why. */
static enum outcome run_row(struct statement *statement, const UDF_ARGS *args,
                            struct invoke_response *response, struct failure *failure) {
  bool variables = false;
  if (!component_enter(statement->component, &variables)) {
    failure_set(failure, FAILURE_DENIED, "the component was uninstalled while the statement ran");
    return ROW_FAILED;
  }
  enum outcome outcome = follow_mode(statement, variables, args, response, failure);
  component_leave();
  return outcome;
}

/* One row. True: *response is the answer. False: the row is NULL, or it failed; then an error was raised and
 * *error is 1, which together fail the statement and alone do not. */
static bool evaluate_row(struct statement *statement, const UDF_ARGS *args, struct invoke_response *response,
                         unsigned char *is_null, unsigned char *error) {
  const char *name = statement->function->name;
  struct failure failure;
  *is_null = 1;
  *error = 0;
  if (is_explained(statement)) return false;
  counter_add(statement->function->calls, 1);
  enum outcome outcome = run_row(statement, args, response, &failure);
  *is_null = outcome != ROW_ANSWERED;
  *error = outcome == ROW_FAILED;
  if (outcome == ROW_FAILED) {
    counter_error(failure.kind);
    failure_raise(&failure, name);
  } else if (outcome == ROW_SKIPPED) {
    counter_add(COUNTER_SKIPPED, 1);
    warn_once(statement, "skipped, because lambda_udf.mode is 'skip'");
  }
  return outcome == ROW_ANSWERED;
}

/* One row whose result is the answer's payload. */
static char *payload_row(UDF_INIT *init, UDF_ARGS *args, char *result, unsigned long *length,
                         unsigned char *is_null, unsigned char *error) {
  struct statement *statement = (struct statement *)init->ptr;
  struct invoke_response response = {0};
  if (!evaluate_row(statement, args, &response, is_null, error)) return NULL;
  *length = response.payload.length;
  /* An empty answer has no bytes to point at; the server's own buffer will do. */
  if (response.payload.length == 0) return result;
  /* The server looks for a NUL behind a string's last byte (String::c_ptr). Here stands the next field's
   * tag, which has been read, or grpc_message's own NUL. */
  char *payload = (char *)(uintptr_t)response.payload.data;
  payload[response.payload.length] = '\0';
  return payload;
}

/* ---- lambda_sync(function, payload): what the function returned ---- */

bool lambda_sync_init(UDF_INIT *init, UDF_ARGS *args, char *message) {
  return start_statement(init, args, message, &sync_function);
}

void lambda_sync_deinit(UDF_INIT *init) { end_statement(init); }

char *lambda_sync(UDF_INIT *init, UDF_ARGS *args, char *result, unsigned long *length, unsigned char *is_null,
                  unsigned char *error) {
  return payload_row(init, args, result, length, is_null, error);
}

/* ---- lambda_async(function, payload): that Lambda has accepted the event ---- */

bool lambda_async_init(UDF_INIT *init, UDF_ARGS *args, char *message) {
  return start_statement(init, args, message, &async_function);
}

void lambda_async_deinit(UDF_INIT *init) { end_statement(init); }

/* A request id goes into JSON as it is: it is a UUID, and nothing else is believed. */
static struct slice request_id(const struct invoke_response *response) {
  static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
  struct slice id = response->request_id;
  if (id.length > REQUEST_ID_MAX) return (struct slice){"", 0};
  for (size_t i = 0; i < id.length; i++)
    if (id.data[i] == '\0' || strchr(allowed, id.data[i]) == NULL) return (struct slice){"", 0};
  return id;
}

char *lambda_async(UDF_INIT *init, UDF_ARGS *args, char *result, unsigned long *length,
                   unsigned char *is_null, unsigned char *error) {
  struct statement *statement = (struct statement *)init->ptr;
  struct invoke_response response = {0};
  (void)result;
  if (!evaluate_row(statement, args, &response, is_null, error)) return NULL;
  struct slice id = request_id(&response);
  int written = snprintf(statement->accepted, sizeof statement->accepted,
                         "{\"StatusCode\": %u, \"RequestId\": \"%.*s\"}", response.status_code,
                         (int)id.length, id.length > 0 ? id.data : "");
  *length = (unsigned long)written;
  return statement->accepted;
}

/* ---- lambda_invoke(function, payload[, options]): everything that Lambda says, as one document ---- */

bool lambda_invoke_init(UDF_INIT *init, UDF_ARGS *args, char *message) {
  return start_statement(init, args, message, &invoke_function);
}

void lambda_invoke_deinit(UDF_INIT *init) { end_statement(init); }

char *lambda_invoke(UDF_INIT *init, UDF_ARGS *args, char *result, unsigned long *length,
                    unsigned char *is_null, unsigned char *error) {
  return payload_row(init, args, result, length, is_null, error);
}
