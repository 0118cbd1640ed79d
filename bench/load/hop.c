/* The load of the gRPC hop alone: a session is a channel of the library, a call is one message there and
 * back. Linked with udf/'s own channel and contract; knows nothing of SQL. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "contract.h"
#include "driver.h"

#define TIMEOUT_MS 60000

struct hop {
  struct channel *channel;
  struct grpc_message *message; /* holds the last answer */
};

static struct wait waiting(void) {
  return (struct wait){.deadline_ms = wait_clock_ms() + TIMEOUT_MS, .client_fd = -1};
}

static struct slice text(const char *of) { return (struct slice){of, strlen(of)}; }

static void close_hop(void *session) {
  struct hop *hop = session;
  free(hop->message);
  channel_close(hop->channel);
  free(hop);
}

/* `where` is the socket of a sidecar or of the stub. */
static void *open_hop(const char *where, char *failure) {
  struct wait wait = waiting();
  bool again = false;
  struct hop *hop = calloc(1, sizeof *hop);
  if (hop == NULL) {
    (void)snprintf(failure, FAILURE_SIZE, "no memory");
  } else if (channel_open(where, &wait, &hop->channel, failure, FAILURE_SIZE, &again) != WAIT_OK) {
    free(hop);
    hop = NULL;
  }
  return hop;
}

static bool exchange(struct hop *hop, struct invoke_request *request) {
  struct wait wait = waiting();
  uint8_t *head = NULL;
  size_t length = 0;
  free(hop->message);
  hop->message = NULL;
  request->call_id = channel_sent(hop->channel) + 1;
  if (!contract_encode(request, &head, &length)) return false;
  enum wait_result sent = channel_send(hop->channel, 1, head, length, (const uint8_t *)request->payload.data,
                                       request->payload.length, &wait);
  free(head);
  return sent == WAIT_OK && channel_receive(hop->channel, &wait, &hop->message) == WAIT_OK;
}

static bool call_hop(void *session, struct bytes payload, struct bytes *answer, char *failure) {
  struct hop *hop = session;
  struct invoke_response response;
  struct invoke_request request = {.type = INVOCATION_REQUEST_RESPONSE,
                                   .timeout_ms = TIMEOUT_MS,
                                   .function = text("echo"),
                                   .payload = {payload.data, payload.length},
                                   .user = text("root"),
                                   .host = text("localhost"),
                                   .connection_id = 1};
  if (!exchange(hop, &request)) {
    (void)snprintf(failure, FAILURE_SIZE, "channel: %s", channel_reason(hop->channel));
    return false;
  }
  if (!contract_decode(hop->message->bytes, hop->message->length, &response) || response.is_error ||
      response.call_id != request.call_id) {
    (void)snprintf(failure, FAILURE_SIZE, "the stub's answer is no result of this call");
    return false;
  }
  *answer = (struct bytes){response.result.payload.data, response.result.payload.length};
  return true;
}

int main(int argc, char **argv) {
  static const struct target hop = {open_hop, call_hop, close_hop};
  return driver_main(argc, argv, &hop);
}
