/* A session's line to the sidecar: from the pool or by connecting, with retries, under the session's KILL.
 * Must not know what is sent on it. */
#include "line.h"

#include <string.h>

#include "channel_pool.h"

/* Between two tries. */
#define PAUSE_MS 20

static bool is_interrupted(void *arg) {
  struct line *line = arg;
  line->interrupt = server_interrupt(line->session);
  return line->interrupt != SERVER_RUNS;
}

void line_start(struct line *line, const struct settings *settings, MYSQL_THD session) {
  *line = (struct line){
      .settings = settings,
      .session = session,
      .wait = {.stop = is_interrupted, .stop_arg = line, .client_fd = -1},
  };
}

void line_wait_until(struct line *line, int64_t deadline_ms) {
  line->wait.deadline_ms = deadline_ms;
  line->wait.client_fd = server_client_fd(line->session);
}

bool line_may_go_on(struct line *line, struct failure *failure) {
  return !is_interrupted(line) || line_wait_failed(line, WAIT_STOPPED, failure);
}

bool line_wait_failed(const struct line *line, enum wait_result result, struct failure *failure) {
  if (result == WAIT_TIMEOUT)
    return failure_set(failure, FAILURE_TIMEOUT, "timed out after %u ms", line->settings->timeout_ms);
  if (result == WAIT_ABANDONED) return failure_set(failure, FAILURE_CLIENT_GONE, "the client has gone away");
  if (line->interrupt == SERVER_QUERY_TIME)
    return failure_set(failure, FAILURE_QUERY_TIME, "max_execution_time exceeded");
  return failure_set(failure, FAILURE_KILLED, "interrupted");
}

bool line_unavailable(const struct line *line, const char *reason, struct failure *failure) {
  return failure_set(failure, FAILURE_UNAVAILABLE, "sidecar unavailable: %s: %s", line->settings->socket,
                     reason);
}

/* The failure for connecting that ended with that result. */
static bool connect_failed(const struct line *line, enum wait_result result, const char *reason,
                           struct failure *failure) {
  if (result == WAIT_STOPPED || result == WAIT_ABANDONED) return line_wait_failed(line, result, failure);
  if (wait_clock_ms() >= line->wait.deadline_ms) return line_wait_failed(line, WAIT_TIMEOUT, failure);
  return line_unavailable(line, reason, failure);
}

/* Tries for connect_timeout_ms. */
static bool open_channel(struct line *line, struct failure *failure) {
  struct wait connecting = line->wait;
  int64_t until = wait_clock_ms() + line->settings->connect_timeout_ms;
  if (until < connecting.deadline_ms) connecting.deadline_ms = until;
  char reason[256] = "", latest[sizeof reason] = "";
  for (;;) {
    bool again = false;
    enum wait_result result =
        channel_open(line->settings->socket, &connecting, &line->channel, latest, sizeof latest, &again);
    if (result == WAIT_OK) return true;
    /* A try that the deadline cut short says less than those before it. */
    if (result == WAIT_LOST || reason[0] == '\0') memcpy(reason, latest, sizeof reason);
    if (result == WAIT_LOST && again) result = wait_pause(&connecting, PAUSE_MS);
    if (result != WAIT_OK) return connect_failed(line, result, reason, failure);
  }
}

bool line_connect(struct line *line, struct failure *failure) {
  if (line->channel == NULL) line->channel = channel_pool_take(line->settings->socket);
  return line->channel != NULL || open_channel(line, failure);
}

bool line_pause(struct line *line, struct failure *failure) {
  enum wait_result result = wait_pause(&line->wait, PAUSE_MS);
  return result == WAIT_OK || line_wait_failed(line, result, failure);
}

void line_release(struct line *line) {
  channel_pool_give(line->settings->socket, line->channel);
  line->channel = NULL;
}

void line_drop(struct line *line) {
  channel_close(line->channel);
  line->channel = NULL;
}
