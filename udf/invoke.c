/* One call from request to result.
 * Lambda has side effects: a call that may have left is never sent a second time. */
#include "invoke.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "channel_pool.h"
#include "counters.h"
#include "server.h"

/* Between two tries to connect. */
#define CONNECT_PAUSE_MS 20
/* How often a call that was never taken may be sent anew: enough for a restart, not for a loop. */
#define TRIES_MAX 5

struct call {
  struct invoke_request *request;
  const struct settings *settings;
  MYSQL_THD session;
  enum server_interrupt interrupt; /* what ended the wait */
  struct wait wait;                /* the whole call */
  bool no_memory;                  /* so the request could not be made */
  struct failure *failure;
};

static bool is_interrupted(void *arg) {
  struct call *call = arg;
  call->interrupt = server_interrupt(call->session);
  return call->interrupt != SERVER_RUNS;
}

static bool unavailable(struct call *call, const char *reason) {
  return failure_set(call->failure, FAILURE_UNAVAILABLE, "sidecar unavailable: %s: %s",
                     call->settings->socket, reason);
}

/* The failure for a wait that ended without what was waited for, other than by a loss. */
static bool wait_ended(struct call *call, enum wait_result result) {
  if (result == WAIT_TIMEOUT)
    return failure_set(call->failure, FAILURE_TIMEOUT, "timed out after %u ms", call->settings->timeout_ms);
  if (call->no_memory) return failure_set(call->failure, FAILURE_SERVER, "no memory for the request");
  if (result == WAIT_ABANDONED)
    return failure_set(call->failure, FAILURE_CLIENT_GONE, "the client has gone away");
  if (call->interrupt == SERVER_QUERY_TIME)
    return failure_set(call->failure, FAILURE_QUERY_TIME, "max_execution_time exceeded");
  return failure_set(call->failure, FAILURE_KILLED, "interrupted");
}

/* An idle channel, or a new one: connecting is tried for connect_timeout_ms. */
static struct channel *get_channel(struct call *call) {
  const char *path = call->settings->socket;
  struct channel *channel = channel_pool_take(path);
  if (channel != NULL) return channel;

  struct wait connecting = call->wait;
  int64_t until = wait_clock_ms() + call->settings->connect_timeout_ms;
  if (until < connecting.deadline_ms) connecting.deadline_ms = until;
  char reason[256] = "", latest[sizeof reason] = "";
  for (;;) {
    bool again = false;
    enum wait_result result = channel_open(path, &connecting, &channel, latest, sizeof latest, &again);
    if (result == WAIT_OK) return channel;
    /* A try that the deadline cut short says less than those before it. */
    if (result == WAIT_LOST || reason[0] == '\0') memcpy(reason, latest, sizeof reason);
    if (result == WAIT_LOST && again) result = wait_pause(&connecting, CONNECT_PAUSE_MS);
    if (result == WAIT_OK) continue;
    bool ended = result == WAIT_STOPPED || result == WAIT_ABANDONED;
    if (ended || wait_clock_ms() >= call->wait.deadline_ms)
      wait_ended(call, ended ? result : WAIT_TIMEOUT);
    else
      unavailable(call, reason);
    return NULL;
  }
}

/* Sends the request and waits for its answer. */
static enum wait_result exchange(struct call *call, struct channel *channel, struct grpc_message **answer) {
  struct invoke_request *request = call->request;
  uint8_t *head = NULL;
  size_t head_length = 0;
  int64_t left = call->wait.deadline_ms - wait_clock_ms();
  if (left <= 0) return WAIT_TIMEOUT;
  request->call_id = channel_sent(channel) + 1;
  request->timeout_ms = (uint32_t)left;
  request->deadline_ms = (uint64_t)call->wait.deadline_ms;
  if (!contract_encode(request, &head, &head_length)) {
    call->no_memory = true;
    return WAIT_STOPPED;
  }
  enum wait_result result = channel_send(channel, head, head_length, (const uint8_t *)request->payload.data,
                                         request->payload.length, &call->wait);
  free(head);
  if (result != WAIT_OK) return result;
  counter_add(COUNTER_BYTES_OUT, (int64_t)request->payload.length);
  return channel_receive(channel, &call->wait, answer);
}

/* The numbers are the peer's: any may come. */
static enum failure_kind failure_kind_of(uint32_t invoke_error_kind) {
  switch (invoke_error_kind) {
    case INVOKE_ERROR_INVALID:
      return FAILURE_ARGUMENT;
    case INVOKE_ERROR_DENIED:
      return FAILURE_DENIED;
    case INVOKE_ERROR_CREDENTIALS:
    case INVOKE_ERROR_NETWORK:
    case INVOKE_ERROR_API:
      return FAILURE_API;
    case INVOKE_ERROR_TIMEOUT:
      return FAILURE_TIMEOUT;
    case INVOKE_ERROR_OVERLOADED:
      return FAILURE_OVERLOADED;
    default:
      return FAILURE_UNAVAILABLE;
  }
}

/* The sidecar's error, as a failure. */
static bool refused(struct call *call, const struct invoke_response *response) {
  uint32_t kind = response->error_kind;
  struct slice reason = slice_or(response->error_message, FAILURE_TEXT_SIZE, "the sidecar gave no reason");
  /* Its own timeout_ms is what is left of ours, but for lambda_invoke's option, which it names. */
  if (kind == INVOKE_ERROR_TIMEOUT && call->request->options.length == 0)
    return wait_ended(call, WAIT_TIMEOUT);
  return failure_set(call->failure, failure_kind_of(kind), "%.*s", (int)reason.length, reason.data);
}

static void count_wait(const struct invoke_response *response) {
  if (response->queued_us == 0) return;
  counter_add(COUNTER_QUEUED, 1);
  counter_add(COUNTER_QUEUE_TIME_US, (int64_t)response->queued_us);
}

/* Reads the answer; on false it is freed. */
static bool read_answer(struct call *call, struct grpc_message *answer, struct invoke_response *response) {
  if (!contract_decode(answer->bytes, answer->length, response) ||
      response->call_id != call->request->call_id) {
    unavailable(call, "malformed answer");
  } else {
    count_wait(response);
    if (!response->is_error) return true;
    refused(call, response);
  }
  free(answer);
  return false;
}

bool invoke(struct invoke_request *request, const struct settings *settings, MYSQL_THD session,
            struct grpc_message **answer, struct invoke_response *response, struct failure *failure) {
  struct call call = {.request = request, .settings = settings, .session = session, .failure = failure};
  call.wait =
      (struct wait){wait_clock_ms() + settings->timeout_ms, is_interrupted, &call, server_client_fd(session)};
  /* A statement killed between two rows must not invoke once more. */
  if (is_interrupted(&call)) return wait_ended(&call, WAIT_STOPPED);
  for (int tries = 1;; tries++) {
    struct channel *channel = get_channel(&call);
    if (channel == NULL) return false;
    enum wait_result result = exchange(&call, channel, answer);
    if (result == WAIT_OK) {
      bool good = read_answer(&call, *answer, response);
      if (good || failure->kind != FAILURE_UNAVAILABLE)
        channel_pool_give(settings->socket, channel);
      else
        channel_close(channel);
      return good;
    }
    bool again = result == WAIT_LOST && channel_never_taken(channel, request->call_id);
    if (result == WAIT_LOST && !again) {
      char reason[256];
      (void)snprintf(reason, sizeof reason, "%s; the call was under way and may have been carried out",
                     channel_reason(channel));
      unavailable(&call, reason);
    } else if (result == WAIT_LOST && tries >= TRIES_MAX) {
      unavailable(&call, channel_reason(channel));
      again = false;
    } else if (result != WAIT_LOST) {
      wait_ended(&call, result);
    }
    channel_close(channel); /* resets the stream: the sidecar drops the call */
    if (!again) return false;
    if (tries > 1) {
      result = wait_pause(&call.wait, CONNECT_PAUSE_MS);
      if (result != WAIT_OK) return wait_ended(&call, result);
    }
  }
}
