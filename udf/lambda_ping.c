/* The entry points of lambda_ping(): whether this mysqld reaches the sidecar, and which one answers.
 * Must not know how the question travels, nor what AWS is. */
#include <stdio.h>

#include "exports.h"
#include "invoke.h"
#include "statement.h"

/* Who asks wants to know soon: the sidecar answers at once, or something is wrong. */
#define PING_MS 10000u
/* Of the sidecar's version and id: a release number and 16 digits, with room for longer ones. */
#define NAME_MAX_BYTES 64
#define ANSWER_SIZE 192

struct ping_statement {
  struct statement statement;
  char answer[ANSWER_SIZE];
};

static const struct sql_function ping_function = {
    .name = "lambda_ping",
    .usage = "() takes no arguments",
    .arguments_min = 0,
    .arguments_max = 0,
    .state_size = sizeof(struct ping_statement),
    .type = INVOCATION_PING,
    .payload_max = 0,
    .payload_kind = "nothing",
    .result_max = ANSWER_SIZE,
    .raises = false,
};

bool lambda_ping_init(UDF_INIT *init, UDF_ARGS *args, char *message) {
  return statement_start(&ping_function, init, args, message);
}

void lambda_ping_deinit(UDF_INIT *init) { statement_end(init); }

/* {"SidecarVersion": "…", "SidecarId": "…"}; what the peer says is no JSON of ours unless it is plain. */
static void write_answer(struct ping_statement *row, const struct invoke_result *result,
                         unsigned long *length) {
  struct slice version = slice_if_plain(result->executed_version, NAME_MAX_BYTES);
  struct slice id = slice_if_plain(result->request_id, NAME_MAX_BYTES);
  *length = (unsigned long)snprintf(row->answer, sizeof row->answer,
                                    "{\"SidecarVersion\": \"%.*s\", \"SidecarId\": \"%.*s\"}",
                                    (int)version.length, version.data, (int)id.length, id.data);
}

static bool ping(struct ping_statement *row, unsigned long *length, struct failure *failure) {
  const struct statement *statement = &row->statement;
  struct settings settings = statement->settings;
  struct invoke_request request = {.function = {.data = ""}, .payload = {.data = ""}};
  struct call_answer answer = {.message = NULL};
  if (settings.timeout_ms > PING_MS) settings.timeout_ms = PING_MS;
  if (!statement_complete_request(statement, &request, failure)) return false;
  if (!invoke_ping(&request, &settings, statement->session, &answer, failure)) return false;
  write_answer(row, &answer.response.result, length);
  call_answer_free(&answer);
  return true;
}

char *lambda_ping(UDF_INIT *init, UDF_ARGS *args, char *result, unsigned long *length, unsigned char *is_null,
                  unsigned char *error) {
  struct ping_statement *row = (struct ping_statement *)init->ptr;
  struct failure failure;
  (void)args;
  (void)result;
  *error = 0;
  enum statement_row outcome = statement_enter_ping(&row->statement, &failure);
  if (outcome == ROW_RUNS) {
    if (!ping(row, length, &failure)) outcome = ROW_FAILED;
    statement_leave();
  }
  if (outcome == ROW_FAILED) statement_fail(&row->statement, &failure, error);
  *is_null = outcome != ROW_RUNS;
  return outcome == ROW_RUNS ? row->answer : NULL;
}
