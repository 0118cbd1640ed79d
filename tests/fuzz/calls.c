/* Whole calls (invoke.c and all below it) against a sidecar that does what the input says (peer.c), on a
 * system in memory (simulated_system.c). The input's first bytes choose the calls; the rest is the other
 * side's script. What must hold: a call that may have been carried out is not sent again, unless it has
 * the name of a durable execution, and then a few times; what is never taken
 * never left whole; parts of an answer have no more bytes than were asked for, and a
 * channel that goes back to the pool owes nothing; nothing waits beyond its deadline or 100 ms beyond a KILL;
 * nothing is left over. */
#include <string.h>

#include "call.h"
#include "line.h"

static void release_without_debt(struct line *line);
#define line_release release_without_debt
#include <invoke.c>
#undef line_release

#include "channel_pool.h"
#include "counters.h"
#include "peer.h"
#include "session.h"
#include "simulated_system.h"
#include "target.h"
#include "watched_channel.h"

#define PAYLOAD_MAX 200000
#define PAYLOAD_MIN 2
/* In the byte that chooses a call's length: it has the name of a durable execution, too. */
#define HAS_NAME 0x40
/* Its answer may come in parts; the two bits below choose of how many bytes. */
#define TAKES_PARTS 0x20
#define SLACK_US 10000

static uint8_t payloads[PEER_CALLS_MAX][PAYLOAD_MAX];
static struct peer_call calls[PEER_CALLS_MAX];
static struct call under_way[PEER_CALLS_MAX];
static bool is_under_way[PEER_CALLS_MAX];

/* ---- the calls ---- */

static size_t choose_length(uint8_t byte) {
  static const size_t lengths[] = {PAYLOAD_MIN, 10, 300, 16384, 65530, 70000, 140000, PAYLOAD_MAX};
  return lengths[byte % (sizeof lengths / sizeof lengths[0])];
}

/* A good sidecar's answers have 16 bytes. */
static size_t choose_result_max(uint8_t byte) {
  static const size_t bytes[] = {16, 1000, 20000, 1 << 20};
  return (byte & TAKES_PARTS) == 0 ? 0 : bytes[byte >> 3 & 3];
}

/* Bytes of which no stretch is like the one before, and a last one that no other call has. */
static void fill(uint8_t *payload, int number) {
  for (uint32_t i = 0; i < PAYLOAD_MAX; i++) payload[i] = (uint8_t)('a' + (i * 7 + i / 251) % 26);
  payload[PAYLOAD_MAX - 1] = (uint8_t)('A' + number);
}

static void choose_calls(int count) {
  for (int i = 0; i < count; i++) {
    uint8_t byte = peer_script_byte();
    size_t length = choose_length(byte);
    if (payloads[i][0] == 0) fill(payloads[i], i);
    calls[i] = (struct peer_call){.payload = payloads[i] + PAYLOAD_MAX - length,
                                  .payload_length = length,
                                  .result_max = choose_result_max(byte),
                                  .repeatable = (byte & HAS_NAME) != 0};
  }
}

static struct invoke_request request_of(int number) {
  static const struct slice name = {.data = "order-1", .length = 7}, none = {.length = 0};
  return (struct invoke_request){
      .durable_name = calls[number].repeatable ? name : none,
      .type = INVOCATION_REQUEST_RESPONSE,
      .result_max = calls[number].result_max,
      .function = {.data = "f", .length = 1},
      .payload = {.data = (const char *)calls[number].payload, .length = calls[number].payload_length},
  };
}

static void release_without_debt(struct line *line) {
  require(channel_owed(line->channel) == 0, "a channel that goes back owes nothing");
  line_release(line);
}

/* What came in parts has its limit, and a byte behind the last one for a NUL. */
static void check_parts(int number, const struct call_answer *answer) {
  size_t most = calls[number].result_max, length = answer->parts.length;
  if (length == 0) return;
  require(length <= most, "parts have no more bytes than may be");
  require(length < answer->parts.size && answer->parts.size <= 2 * most + 1024, "and take no more room");
  require(answer->response.result.payload.data == answer->parts.data &&
              answer->response.result.payload.length == length,
          "parts are the result");
}

/* An answer of a sidecar that does what it should is the call's own. */
static void check_answer(int number, const struct invoke_response *response) {
  const struct peer_call *call = &calls[number];
  struct slice payload = response->result.payload;
  require(call->came > 0, "what is answered has been sent");
  require(response->call_id == call->number, "an answer has the call's number");
  if (!*call->good) return;
  require(payload.length == (call->payload_length < 16 ? call->payload_length : 16), "an answer is whole");
  require(memcmp(payload.data, call->payload, payload.length) == 0, "an answer is the call's own");
}

static void check_time(int64_t begun_us, const struct settings *settings) {
  session_check_time(begun_us, begun_us + settings->timeout_ms * INT64_C(1000), SLACK_US);
}

/* One after the other, each on a line of its own, as lambda_sync() has them. */
static void invoke_each(int count, const struct settings *settings, uint8_t between) {
  for (int i = 0; i < count; i++) {
    struct invoke_request request = request_of(i);
    struct call_answer answer = {.message = NULL};
    struct failure failure = {.kind = FAILURE_NONE};
    int64_t begun_us = system_now_us();
    if (invoke(&request, settings, NULL, &answer, &failure)) {
      check_parts(i, &answer);
      check_answer(i, &answer.response);
    } else
      session_check_failure(&failure);
    check_time(begun_us, settings);
    call_answer_free(&answer);
    peer_acts_between(between % 4);
  }
}

static enum call_step begin_all(int count, struct line *line, struct failure *failure) {
  enum call_step step = CALL_OK;
  for (int i = 0; i < count && step == CALL_OK; i++) {
    under_way[i] = (struct call){.request = request_of(i)};
    calls[i].result_max = under_way[i].request.result_max = 0; /* only one alone on its line takes parts */
    under_way[i].request.deadline_ms = (uint64_t)line->wait.deadline_ms;
    is_under_way[i] = true;
    step = call_begin(&under_way[i], line, failure);
  }
  return step;
}

/* The next answer, and the call that it ends. */
static enum call_step end_one(int count, struct line *line, struct failure *failure) {
  struct call_answer answer = {.message = NULL};
  enum call_step step = call_receive(line, &answer, failure);
  if (step != CALL_OK) return step;
  int i = 0;
  while (i < count && !(is_under_way[i] && under_way[i].request.call_id == answer.response.call_id)) i++;
  if (i == count) return call_malformed(line, &answer, failure);
  is_under_way[i] = false;
  step = call_end(&under_way[i], line, &answer.response, failure);
  if (step == CALL_OK) check_answer(i, &answer.response);
  call_answer_free(&answer);
  return CALL_OK;
}

/* Many under way on one line. */
static void invoke_together(int count, const struct settings *settings) {
  struct line line;
  struct failure failure = {.kind = FAILURE_NONE};
  int64_t begun_us = system_now_us();
  memset(is_under_way, 0, sizeof is_under_way);
  line_start(&line, settings, NULL);
  line_wait_until(&line, wait_clock_ms() + settings->timeout_ms);
  enum call_step step = begin_all(count, &line, &failure);
  for (int left = count; left > 0 && step == CALL_OK; left--) step = end_one(count, &line, &failure);
  for (int i = 0; i < count && step == CALL_LOST; i++)
    if (is_under_way[i] && !call_may_begin_anew(&under_way[i], &line, &failure))
      session_check_failure(&failure);
  if (step == CALL_OK)
    line_release(&line);
  else
    line_drop(&line);
  check_time(begun_us, settings);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
  system_start();
  peer_start(bytes, length, calls, PEER_CALLS_MAX);
  memset(calls, 0, sizeof calls);
  struct settings settings = session_settings();
  uint8_t how = peer_script_byte(), between = peer_script_byte();
  int count = how % 4 + 1;
  choose_calls(count);
  if (how & 0x80)
    invoke_together(count, &settings);
  else
    invoke_each(count, &settings, between);
  channel_pool_clear();
  system_end();
  require(counter_read(COUNTER_CONNECTIONS) == 0, "every channel is closed");
  require(counter_read(COUNTER_IN_FLIGHT) == 0, "no call is left");
  return 0;
}
