/* Many calls under way on one line: begins one per payload, then ends each with the answer that is its own.
 * line_tool SOCKET PAYLOAD…: prints in order of arrival "ended N PAYLOAD" or "refused N TEXT" (N: 1, 2, 3 …);
 * if the channel is lost "again N" or "lost N TEXT" for each call under way; if the line fails "failed TEXT".
 * Stands in for server.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"

#define CALLS_MAX 64
#define TIMEOUT_MS 20000

static struct call calls[CALLS_MAX];
static bool under_way[CALLS_MAX];

enum server_interrupt server_interrupt(MYSQL_THD session) {
  (void)session;
  return SERVER_RUNS;
}

int server_client_fd(MYSQL_THD session) {
  (void)session;
  return -1;
}

void server_raise(int error_id, int flags, ...) { (void)error_id, (void)flags; }

static struct slice text(const char *of) { return (struct slice){.data = of, .length = strlen(of)}; }

static enum call_step begin(struct line *line, int number, const char *payload, struct failure *failure) {
  struct call *call = &calls[number];
  call->request = (struct invoke_request){.type = INVOCATION_REQUEST_RESPONSE,
                                          .function = text("Echo"),
                                          .payload = text(payload),
                                          .deadline_ms = (uint64_t)line->wait.deadline_ms};
  under_way[number] = true;
  return call_begin(call, line, failure);
}

/* The number of the call under way whose answer that is; count if it is nobody's. */
static int owner(const struct call_answer *answer, int count) {
  for (int i = 0; i < count; i++)
    if (under_way[i] && calls[i].request.call_id == answer->response.call_id) return i;
  return count;
}

static enum call_step end_one(struct line *line, int count, struct failure *failure) {
  struct call_answer answer = {.message = NULL};
  enum call_step step = call_receive(line, &answer, failure);
  if (step != CALL_OK) return step;
  int number = owner(&answer, count);
  if (number == count) return call_malformed(line, &answer, failure);
  under_way[number] = false;
  struct slice payload = answer.response.result.payload;
  if (call_end(&calls[number], line, &answer.response, failure) == CALL_REFUSED)
    (void)printf("refused %d %s\n", number + 1, failure->text);
  else
    (void)printf("ended %d %.*s\n", number + 1, (int)payload.length, payload.data);
  call_answer_free(&answer);
  return CALL_OK;
}

static void print_lost(const struct line *line, int count, struct failure *failure) {
  for (int i = 0; i < count; i++) {
    if (!under_way[i]) continue;
    if (call_may_begin_anew(&calls[i], line, failure))
      (void)printf("again %d\n", i + 1);
    else
      (void)printf("lost %d %s\n", i + 1, failure->text);
  }
}

int main(int argc, char **argv) {
  struct settings settings = {.timeout_ms = TIMEOUT_MS, .connect_timeout_ms = TIMEOUT_MS};
  struct failure failure;
  struct line line;
  int count = argc - 2;
  if (count < 1 || count > CALLS_MAX || strlen(argv[1]) >= sizeof settings.socket) return 2;
  memcpy(settings.socket, argv[1], strlen(argv[1]) + 1);
  line_start(&line, &settings, NULL);
  line_wait_until(&line, wait_clock_ms() + TIMEOUT_MS);
  enum call_step step = CALL_OK;
  for (int i = 0; i < count && step == CALL_OK; i++) step = begin(&line, i, argv[i + 2], &failure);
  for (int left = count; left > 0 && step == CALL_OK; left--) step = end_one(&line, count, &failure);
  if (step == CALL_LOST) print_lost(&line, count, &failure);
  if (step == CALL_FAILED) (void)printf("failed %s\n", failure.text);
  if (step == CALL_OK)
    line_release(&line);
  else
    line_drop(&line);
  return 0;
}
