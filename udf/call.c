/* One call on a line: encodes and sends, receives and reads.
 * Lambda has side effects: a call that may have left is never sent a second time, unless it names a durable
 * execution. */
#include "call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counters.h"
#include "traceparent.h"

/* How often a call that was never taken may be sent anew: enough for a restart, not for a loop. */
#define TRIES_MAX 5
/* Bytes of what call_explain_doubt() adds, at least. A trace may follow, for which no word of it is cut. */
#define DOUBT_SIZE 100

static enum call_step step_of(enum wait_result result, const struct line *line, struct failure *failure) {
  if (result == WAIT_OK) return CALL_OK;
  if (result == WAIT_LOST) return CALL_LOST;
  line_wait_failed(line, result, failure);
  return CALL_FAILED;
}

/* Numbers the call as the one that is sent after so many others. False: its time is up. */
static bool number(struct call *call, const struct line *line, size_t after) {
  struct invoke_request *request = &call->request;
  int64_t left = (int64_t)request->deadline_ms - wait_clock_ms();
  if (left <= 0) return false;
  request->call_id = channel_sent(line->channel) + after + 1;
  request->timeout_ms = (uint32_t)left;
  return true;
}

static enum call_step no_memory(struct failure *failure) {
  failure_set(failure, FAILURE_SERVER, "no memory for the request");
  return CALL_FAILED;
}

enum call_step call_begin(struct call *call, struct line *line, struct failure *failure) {
  struct invoke_request *request = &call->request;
  uint8_t *head = NULL;
  size_t head_length = 0;
  call->tries++;
  journal_phase(&call->journal, JOURNAL_CONNECTING);
  if (!line_connect(line, failure)) return CALL_FAILED;
  if (!number(call, line, 0)) return step_of(WAIT_TIMEOUT, line, failure);
  if (!contract_encode(request, &head, &head_length)) return no_memory(failure);
  enum wait_result result =
      channel_send(line->channel, 1, head, head_length, (const uint8_t *)request->payload.data,
                   request->payload.length, &line->wait);
  free(head);
  if (result != WAIT_OK) return step_of(result, line, failure);
  if (request->result_max > 0) channel_expect_parts(line->channel, true);
  counter_add(COUNTER_BYTES_OUT, (int64_t)request->payload.length);
  journal_phase(&call->journal, JOURNAL_SENT);
  return CALL_OK;
}

enum call_step calls_begin(struct call *const *calls, size_t count, struct line *line,
                           struct failure *failure) {
  const struct invoke_request *requests[CALLS_AT_ONCE];
  uint8_t *message = NULL;
  size_t length = 0;
  int64_t bytes = 0;
  if (count == 1) return call_begin(calls[0], line, failure);
  for (size_t i = 0; i < count; i++) {
    calls[i]->tries++;
    journal_phase(&calls[i]->journal, JOURNAL_CONNECTING);
  }
  if (!line_connect(line, failure)) return CALL_FAILED;
  for (size_t i = 0; i < count; i++) {
    if (!number(calls[i], line, i)) return step_of(WAIT_TIMEOUT, line, failure);
    requests[i] = &calls[i]->request;
    bytes += (int64_t)requests[i]->payload.length;
  }
  if (!contract_encode_all(requests, count, &message, &length)) return no_memory(failure);
  enum wait_result result = channel_send(line->channel, count, message, length, NULL, 0, &line->wait);
  free(message);
  if (result != WAIT_OK) return step_of(result, line, failure);
  counter_add(COUNTER_BYTES_OUT, bytes);
  for (size_t i = 0; i < count; i++) journal_phase(&calls[i]->journal, JOURNAL_SENT);
  return CALL_OK;
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

static bool is_code(const struct invoke_error *error, const char *code) {
  return error->code.length == strlen(code) && memcmp(error->code.data, code, error->code.length) == 0;
}

/* The sidecar's error, as a failure. */
static bool refused(struct call *call, const struct line *line, const struct invoke_error *error,
                    struct failure *failure) {
  struct slice reason = slice_or(error->message, FAILURE_TEXT_SIZE, "the sidecar gave no reason");
  /* The name is another payload's: nothing of this call runs. */
  if (is_code(error, "DurableExecutionAlreadyStartedException")) call->in_doubt = false;
  /* Its own timeout_ms is what is left of ours, but for lambda_invoke's option, which it names. */
  if (error->kind == INVOKE_ERROR_TIMEOUT && call->request.options.length == 0)
    return line_wait_failed(line, WAIT_TIMEOUT, failure);
  return failure_set(failure, failure_kind_of(error->kind), "%.*s", (int)reason.length, reason.data);
}

static void count_wait(const struct invoke_response *response) {
  if (response->queued_us == 0) return;
  counter_add(COUNTER_QUEUED, 1);
  counter_add(COUNTER_QUEUE_TIME_US, (int64_t)response->queued_us);
}

enum call_step call_malformed(const struct line *line, struct call_answer *answer, struct failure *failure) {
  call_answer_free(answer);
  line_unavailable(line, "malformed answer", failure);
  return CALL_FAILED;
}

static enum call_step read_answer(const struct line *line, struct call_answer *answer,
                                  struct failure *failure) {
  const struct invoke_response *response = &answer->response;
  if (contract_decode(answer->message->bytes, answer->message->length, &answer->response) &&
      (response->part.length == 0 || channel_owes_part(line->channel)) &&
      channel_answered_more(line->channel, response->more_count))
    return CALL_OK;
  return call_malformed(line, answer, failure);
}

enum call_step call_next(const struct line *line, struct call_answer *answer, size_t index,
                         struct invoke_response *response, struct failure *failure) {
  struct slice more = answer->response.more[index];
  if (contract_decode((const uint8_t *)more.data, more.length, response) && response->more_count == 0 &&
      response->part.length == 0)
    return CALL_OK;
  return call_malformed(line, answer, failure);
}

enum call_step call_receive(struct line *line, struct call_answer *answer, struct failure *failure) {
  enum wait_result result = channel_receive(line->channel, &line->wait, &answer->message);
  if (result != WAIT_OK) return step_of(result, line, failure);
  return read_answer(line, answer, failure);
}

enum call_step call_look(struct line *line, struct call_answer *answer, struct failure *failure) {
  enum wait_result result = channel_look(line->channel, &answer->message);
  if (result != WAIT_OK) return step_of(result, line, failure);
  return answer->message == NULL ? CALL_OK : read_answer(line, answer, failure);
}

enum call_step call_end(struct call *call, const struct line *line, const struct invoke_response *response,
                        struct failure *failure) {
  count_wait(response);
  if (response->is_error) {
    refused(call, line, &response->error, failure);
    if (failure->kind != FAILURE_TIMEOUT) /* whose time it was the caller knows */
      journal_failed(&call->journal, failure->kind, failure->text,
                     contract_checked_id(response->error.request_id));
    return CALL_REFUSED;
  }
  /* Its words are the function's, and may be anybody's data. */
  if (response->result.function_error.length > 0)
    journal_failed(&call->journal, FAILURE_FUNCTION, NULL, contract_checked_id(response->result.request_id));
  counter_add(COUNTER_BYTES_IN, (int64_t)response->result.payload.length);
  return CALL_OK;
}

/* The next response to the only call, a part or the last one. */
static enum call_step receive_own(const struct call *call, struct line *line, struct call_answer *answer,
                                  struct failure *failure) {
  enum call_step step = call_receive(line, answer, failure);
  if (step == CALL_OK &&
      (answer->response.call_id != call->request.call_id || answer->response.more_count > 0))
    return call_malformed(line, answer, failure);
  return step;
}

/* Adds a piece to the parts. */
static enum call_step add_part(const struct call *call, struct call_answer *answer, struct slice part,
                               struct failure *failure) {
  uint64_t most = call->request.result_max;
  if (part.length > most - answer->parts.length)
    failure_set(failure, FAILURE_SERVER, "the result has more than %llu bytes (%s)", (unsigned long long)most,
                "lambda_udf.result_max_bytes, max_allowed_packet");
  else if (!bytes_reserve(&answer->parts, part.length + 1) ||
           !bytes_add(&answer->parts, part.data, part.length))
    failure_set(failure, FAILURE_SERVER, "no memory for the result");
  else
    return CALL_OK;
  return CALL_FAILED;
}

/* Parts as long as they come; then the answer is the last response. Parts that are there already are not
 * waited for, so between them it is asked what else would end a wait. */
static enum call_step receive_all(const struct call *call, struct line *line, struct call_answer *answer,
                                  struct failure *failure) {
  enum call_step step = receive_own(call, line, answer, failure);
  while (step == CALL_OK && answer->response.part.length > 0) {
    step = add_part(call, answer, answer->response.part, failure);
    free(answer->message);
    answer->message = NULL;
    if (step == CALL_OK) step = step_of(wait_look(&line->wait), line, failure);
    if (step == CALL_OK) step = receive_own(call, line, answer, failure);
  }
  if (step == CALL_OK && call->request.result_max > 0) channel_expect_parts(line->channel, false);
  return step;
}

/* The payload as one. */
static enum call_step join_parts(const struct call *call, struct call_answer *answer,
                                 struct failure *failure) {
  struct invoke_result *result = &answer->response.result;
  if (answer->parts.length == 0 || answer->response.is_error) return CALL_OK;
  enum call_step step = add_part(call, answer, result->payload, failure);
  result->payload = (struct slice){.data = answer->parts.data, .length = answer->parts.length};
  return step;
}

enum call_step call_finish(struct call *call, struct line *line, struct call_answer *answer,
                           struct failure *failure) {
  enum call_step step = receive_all(call, line, answer, failure);
  if (step == CALL_OK) step = join_parts(call, answer, failure);
  if (step == CALL_FAILED) call->in_doubt = true;
  if (step == CALL_OK) step = call_end(call, line, &answer->response, failure);
  if (step != CALL_OK) call_answer_free(answer);
  return step;
}

static bool is_safe_to_repeat(const struct call *call) { return call->request.durable_name.length > 0; }

bool call_may_begin_anew(struct call *call, const struct line *line, struct failure *failure) {
  const char *lost = channel_reason(line->channel);
  char reason[256];
  bool taken = !channel_never_taken(line->channel, call->request.call_id);
  if (taken) call->in_doubt = true;
  if (taken && !is_safe_to_repeat(call)) {
    (void)snprintf(reason, sizeof reason, "%s; the call was under way and may have been carried out", lost);
    return line_unavailable(line, reason, failure);
  }
  return call->tries < TRIES_MAX || line_unavailable(line, lost, failure);
}

void call_explain_doubt(const struct call *call, struct failure *failure) {
  struct failure plain = *failure;
  if (!call->in_doubt || !is_safe_to_repeat(call)) return;
  if (strstr(plain.text, "safe to repeat") != NULL) return; /* the sidecar's words, too */
  failure_set(
      failure, plain.kind,
      "%.*s; the durable execution of this name may be running, and it is safe to repeat the same call",
      FAILURE_TEXT_SIZE - DOUBT_SIZE - TRACEPARENT_SIZE, plain.text);
}

void call_answer_free(struct call_answer *answer) {
  free(answer->message);
  answer->message = NULL;
  bytes_free(&answer->parts);
}

void call_count_in(struct call *call) {
  journal_begin(&call->journal, &call->request, wait_clock_us());
  counter_add(COUNTER_IN_FLIGHT, 1);
}

void call_count_out(struct call *call) {
  journal_end(&call->journal);
  counter_add(COUNTER_IN_FLIGHT, -1);
  counter_call_time((uint64_t)(wait_clock_us() - call->journal.begun_us));
}

void call_note_failure(struct call *call, const struct failure *failure) {
  journal_failed(&call->journal, failure->kind, failure->text, (struct slice){.length = 0});
}
