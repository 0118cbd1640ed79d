/* Checks that each row of a statement passes before it may invoke, and the raising of its failure.
 * Must not know how a call travels. */
#include "statement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "component.h"
#include "explain.h"
#include "quotas.h"
#include "traceparent.h"
#include "utf8.h"

/* ---- from init to deinit ---- */

/* Whether the function can run here with these arguments. False: message says why not. */
static bool is_usable(const struct sql_function *function, const UDF_ARGS *args, char *message) {
  const char *missing = "";
  if (args->arg_count < function->arguments_min || args->arg_count > function->arguments_max) {
    (void)snprintf(message, MYSQL_ERRMSG_SIZE, "%s%s, %u given", function->name, function->usage,
                   args->arg_count);
    return false;
  }
  if (!server_attach(&missing)) {
    (void)snprintf(message, MYSQL_ERRMSG_SIZE, "%s needs MySQL 8.0 or newer; this server lacks %s",
                   function->name, missing);
    return false;
  }
  return true;
}

/* MySQL crashes where such an expression with a loadable aggregate, of whatever library, is evaluated for the
 * second time in one statement (tried on 9.7.4): SET, RETURN, IF and CASE in loops, triggers and functions.
 * One that is refused here is not evaluated, and SET outside of a routine cannot be told from SET within. */
static bool is_safe(const struct sql_function *function, MYSQL_THD session, char *message) {
  if (function->concurrency == CONCURRENCY_NONE || !server_evaluates_expression(session)) return true;
  (void)snprintf(
      message, MYSQL_ERRMSG_SIZE,
      "%s cannot be used in SET, RETURN, IF or another expression of a routine, where MySQL crashes with "
      "loadable aggregates; use SELECT ... INTO",
      function->name);
  return false;
}

/* Looked up in init; a row is what is refused. */
static void know_account(struct statement *statement) {
  statement->component = component_generation();
  const char *privilege = statement->component != 0 ? COMPONENT_PRIVILEGE : NULL;
  if (!server_account(statement->session, privilege, &statement->account))
    statement->account.may_invoke = false;
}

/* The state, with the types of its values, if it has any. NULL: there is no memory. */
static struct statement *new_statement(const struct sql_function *function, UDF_ARGS *args) {
  struct statement *statement = calloc(1, function->state_size);
  if (statement == NULL) return NULL;
  statement->function = function;
  if (function->values == 0) return statement;
  statement->types = calloc(args->arg_count, sizeof *statement->types);
  if (statement->types == NULL) {
    free(statement);
    return NULL;
  }
  arguments_know_types(args, function->values, statement->types);
  return statement;
}

static void free_statement(struct statement *statement) {
  if (statement != NULL) free(statement->types);
  free(statement);
}

bool statement_start(const struct sql_function *function, UDF_INIT *init, UDF_ARGS *args, char *message) {
  if (!is_usable(function, args, message)) return true;
  MYSQL_THD session = server_session();
  if (!is_safe(function, session, message)) return true;
  struct statement *statement = new_statement(function, args);
  if (statement == NULL) {
    (void)snprintf(message, MYSQL_ERRMSG_SIZE, "no memory for %s", function->name);
    return true;
  }
  if (!arguments_settle(init, args, session)) {
    free_statement(statement);
    (void)snprintf(message, MYSQL_ERRMSG_SIZE, "the server refuses utf8mb4 for the arguments of %s",
                   function->name);
    return true;
  }
  if (statement->types != NULL) arguments_settle_types(args, function->values, statement->types);
  statement->session = session;
  know_account(statement);
  init->ptr = (char *)statement;
  init->maybe_null = true;
  init->const_item = false; /* every evaluation invokes */
  init->max_length = function->result_max;
  return false;
}

void statement_end(UDF_INIT *init) {
  free_statement((struct statement *)init->ptr);
  init->ptr = NULL;
}

/* ---- whether a row may run ---- */

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

/* A result that the client could not be given would be of no use. */
static bool know_result_max(struct statement *statement, bool variables, struct failure *failure) {
  size_t packet = server_max_packet(statement->session);
  if (!settings_read_result_max(statement->session, variables, &statement->result_max, failure)) return false;
  if (packet < statement->result_max) statement->result_max = (uint32_t)packet;
  return true;
}

/* The settings for the statement, read at its first row. False: failure says which is wrong. */
static bool know_settings(struct statement *statement, bool variables, struct failure *failure) {
  enum settings_concurrency concurrency = statement->function->concurrency;
  MYSQL_THD session = statement->session;
  if (!statement->settings_known)
    statement->settings_known =
        settings_read(session, variables, &statement->settings, failure) &&
        (concurrency == CONCURRENCY_NONE ||
         settings_read_concurrency(session, variables, concurrency, &statement->concurrency, failure)) &&
        (!statement->function->streams || know_result_max(statement, variables, failure));
  return statement->settings_known;
}

/* The trace that the statement belongs to, if its client says so in the query attribute that connectors name
 * so; one that is not well-formed counts as none. One character more than it has room for tells a longer
 * value. */
static void know_trace(struct statement *statement) {
  char text[TRACEPARENT_SIZE + 1];
  if (statement->settings_known) return;
  if (server_query_attribute(statement->session, "traceparent", text, sizeof text) &&
      traceparent_is_valid(text))
    memcpy(statement->traceparent, text, TRACEPARENT_SIZE);
}

static enum statement_row follow_mode(struct statement *statement, bool variables, struct failure *failure) {
  know_trace(statement);
  if (!know_settings(statement, variables, failure)) return ROW_FAILED;
  switch (statement->settings.mode) {
    case MODE_SKIP:
      counter_add(COUNTER_SKIPPED, 1);
      warn_once(statement, "skipped, because lambda_udf.mode is 'skip'");
      return ROW_LEFT_OUT;
    case MODE_DENY:
      failure_set(failure, FAILURE_DENIED, "denied, because lambda_udf.mode is 'deny'");
      return ROW_FAILED;
    default:
      return ROW_RUNS;
  }
}

static bool enter_component(const struct statement *statement, bool *variables, struct failure *failure) {
  return component_enter(statement->component, variables) ||
         failure_set(failure, FAILURE_DENIED, "the component was uninstalled while the statement ran");
}

enum statement_row statement_enter(struct statement *statement, struct failure *failure) {
  bool variables = false;
  if (is_explained(statement)) return ROW_LEFT_OUT;
  counter_add(statement->function->calls, 1);
  if (!enter_component(statement, &variables, failure)) return ROW_FAILED;
  enum statement_row row = follow_mode(statement, variables, failure);
  if (row != ROW_RUNS) component_leave();
  return row;
}

enum statement_row statement_enter_ping(struct statement *statement, struct failure *failure) {
  bool variables = false;
  if (is_explained(statement)) return ROW_LEFT_OUT;
  if (!enter_component(statement, &variables, failure)) return ROW_FAILED;
  if (know_settings(statement, variables, failure)) return ROW_RUNS;
  component_leave();
  return ROW_FAILED;
}

enum statement_row statement_enter_result(struct statement *statement, struct failure *failure) {
  bool variables = false;
  if (is_explained(statement)) return ROW_LEFT_OUT;
  return enter_component(statement, &variables, failure) ? ROW_RUNS : ROW_FAILED;
}

void statement_leave(void) { component_leave(); }

/* ---- what a row asks for ---- */

static bool is_callback(enum invocation_type type) {
  return type == INVOCATION_CALLBACK_SUCCESS || type == INVOCATION_CALLBACK_FAILURE;
}

/* The sidecar knows what an ARN and an id look like. */
static bool check_execution(enum invocation_type type, struct slice subject, struct failure *failure) {
  const char *what = is_callback(type) ? "callback's id" : "durable execution's ARN";
  if (subject.data == NULL) return failure_set(failure, FAILURE_ARGUMENT, "the %s is NULL", what);
  if (subject.length <= QUOTA_EXECUTION_MAX && utf8_is_valid(subject.data, subject.length)) return true;
  return failure_set(failure, FAILURE_ARGUMENT, "not a %s", what);
}

static bool check_function(struct slice function, struct failure *failure) {
  if (function.length > QUOTA_FUNCTION_NAME_MAX)
    return failure_set(failure, FAILURE_ARGUMENT,
                       "not a function name or ARN: it has %zu bytes, at most %u are allowed",
                       function.length, QUOTA_FUNCTION_NAME_MAX);
  /* The contract's strings are UTF-8; binary arguments come as they are. */
  if (!utf8_is_valid(function.data, function.length))
    return failure_set(failure, FAILURE_ARGUMENT, "not a function name or ARN: it is not UTF-8");
  return true;
}

/* As JSON they are read by the sidecar. */
static bool check_options(struct slice options, struct failure *failure) {
  if (options.length == 0)
    return failure_set(failure, FAILURE_ARGUMENT,
                       "options are empty; a JSON object is expected, {} at least");
  if (options.length > QUOTA_OPTIONS_MAX)
    return failure_set(failure, FAILURE_ARGUMENT, "options too long: %zu bytes, at most %u are allowed",
                       options.length, QUOTA_OPTIONS_MAX);
  if (!utf8_is_valid(options.data, options.length))
    return failure_set(failure, FAILURE_ARGUMENT, "options are not JSON: they are not UTF-8");
  return true;
}

static bool check_request(const struct sql_function *function, const struct invoke_request *request,
                          struct failure *failure) {
  bool is_execution = function->type == INVOCATION_EXECUTION || is_callback(function->type);
  if (is_execution && !check_execution(function->type, request->function, failure)) return false;
  if (request->function.data == NULL) return failure_set(failure, FAILURE_ARGUMENT, "function is NULL");
  if (request->payload.data == NULL)
    return failure_set(failure, FAILURE_ARGUMENT,
                       "payload is NULL (does a CONCAT argument evaluate to NULL? JSON_OBJECT keeps it)");
  if (!is_execution && !check_function(request->function, failure)) return false;
  if (request->payload.length > function->payload_max)
    return failure_set(failure, FAILURE_ARGUMENT,
                       "payload too large: it has %zu bytes, Lambda takes at most %lu for %s",
                       request->payload.length, function->payload_max, function->payload_kind);
  if (request->callback_options.data != NULL && !check_options(request->callback_options, failure))
    return false;
  return request->options.data == NULL || check_options(request->options, failure);
}

struct slice statement_argument(const UDF_ARGS *args, unsigned int index) {
  if (index >= args->arg_count) return (struct slice){.data = NULL};
  return (struct slice){.data = args->args[index], .length = args->lengths[index]};
}

static struct slice text(const char *of) { return (struct slice){.data = of, .length = strlen(of)}; }

bool statement_may_invoke(const struct statement *statement, struct failure *failure) {
  return statement->account.may_invoke || failure_set(failure, FAILURE_PRIVILEGE, "access denied");
}

bool statement_complete_request(const struct statement *statement, struct invoke_request *request,
                                struct failure *failure) {
  const struct server_account *account = &statement->account;
  if (!statement_may_invoke(statement, failure)) return false;
  if (!check_request(statement->function, request, failure)) return false;
  request->type = statement->function->type;
  if (request->type == INVOCATION_AS_OPTIONS_SAY && request->options.data == NULL)
    request->options = text("{}");
  request->user = text(account->user);
  request->host = text(account->host);
  request->schema = text(account->schema);
  request->connection_id = account->connection_id;
  request->traceparent = text(statement->traceparent);
  request->result_max = statement->result_max;
  return true;
}

/* ---- what becomes of it ---- */

bool statement_raised(const struct invoke_result *result, struct failure *failure) {
  if (result->function_error.length == 0) return false;
  struct slice reason = slice_or(result->function_error_text, FAILURE_TEXT_SIZE, "it gave no reason");
  failure_set(failure, FAILURE_FUNCTION, "Lambda function error: %.*s", (int)reason.length, reason.data);
  return true;
}

bool statement_accepts(const struct statement *statement, const struct invoke_result *result,
                       struct failure *failure) {
  return !statement->function->raises || statement->settings.function_error == FUNCTION_ERROR_RETURN ||
         !statement_raised(result, failure);
}

/* The text says which trace it belongs to. */
static void raise_traced(const char *traceparent, const struct failure *failure, const char *name) {
  struct failure traced = *failure;
  char ending[TRACEPARENT_SIZE];
  (void)snprintf(ending, sizeof ending, " (trace %.*s)", TRACEPARENT_ID_LENGTH,
                 traceparent + TRACEPARENT_ID_AT);
  failure_end_with(&traced, ending);
  failure_raise(&traced, name);
}

void statement_fail(const struct statement *statement, const struct failure *failure, unsigned char *error) {
  const char *name = statement->function->name;
  *error = 1;
  counter_error(failure->kind);
  if (statement->traceparent[0] == '\0')
    failure_raise(failure, name);
  else
    raise_traced(statement->traceparent, failure, name);
}
