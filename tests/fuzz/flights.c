/* Many calls of one statement at once (the library's flights.c and all below it) against a sidecar that does
 * what the input says (peer.c), on a system in memory (simulated_system.c). The input's first bytes choose
 * the calls; the rest is the other side's script. What must hold: what calls.c demands; every place ends once
 * and no more are under way than may be; a call that is held leaves before anything is waited for; a channel
 * that goes back to the pool owes nothing. Looks into flights.c. */
#include "call.h"
#include "line.h"

static enum call_step receive_for_all(struct line *line, struct call_answer *answer, struct failure *failure);
static void release_without_debt(struct line *line);
#define call_receive receive_for_all
#define line_release release_without_debt
#include <flights.c>
#undef call_receive
#undef line_release

#include "channel_pool.h"
#include "counters.h"
#include "peer.h"
#include "session.h"
#include "simulated_system.h"
#include "target.h"
#include "watched_channel.h"

#define CALLS_MAX 400 /* so many that a full message is held */
#define PAYLOAD_MAX 70000
#define PATTERN_SIZE 8
#define SLACK_US 20000
/* Rows that come more slowly than those that are held for each other. */
#define GAP_US 300
/* Of each call's time: what is under way ends, or is given up; then what was held, and what is new, is sent,
 * each in a message of its own at worst. */
#define TIMES_MAX 4

/* The bits of the pattern, which says for each call in turn what it is. */
enum { LENGTHS = 7, AFTER_A_GAP = 8, PEER_ACTS = 16, MAY_FAIL = 32, HAS_LITTLE_TIME = 64, ENDS_GROUP = 128 };

struct place {
  int number;
  bool may_fail, ended;
  uint32_t timeout_ms;
};

static uint8_t payloads[CALLS_MAX][PAYLOAD_MAX];
static struct peer_call calls[CALLS_MAX];
static struct place places[CALLS_MAX];
static struct flights flights;
static int begun, ended;
static bool is_over; /* a place's end has ended all */

/* ---- what is asked of a line ---- */

static enum call_step receive_for_all(struct line *line, struct call_answer *answer,
                                      struct failure *failure) {
  require(flights.unsent == 0, "what is held leaves before an answer is waited for");
  return call_receive(line, answer, failure);
}

static void release_without_debt(struct line *line) {
  require(channel_owed(line->channel) == 0, "a channel that goes back owes nothing");
  line_release(line);
}

/* ---- the calls ---- */

static size_t choose_length(uint8_t bits) {
  static const size_t lengths[] = {4, 20, 300, 1023, 1024, 16384, 65530, PAYLOAD_MAX};
  return lengths[bits & LENGTHS];
}

/* The first bytes tell them apart. */
static void choose_calls(int count, const uint8_t *pattern, uint32_t timeout_ms) {
  for (int i = 0; i < count; i++) {
    uint8_t bits = pattern[i % PATTERN_SIZE];
    if (payloads[i][PAYLOAD_MAX - 1] == 0) memset(payloads[i], 'a' + i % 26, PAYLOAD_MAX);
    payloads[i][0] = (uint8_t)('0' + i / 100);
    payloads[i][1] = (uint8_t)('0' + i / 10 % 10);
    payloads[i][2] = (uint8_t)('0' + i % 10);
    calls[i] = (struct peer_call){.payload = payloads[i], .payload_length = choose_length(bits)};
    places[i] = (struct place){
        .number = i,
        .may_fail = (bits & MAY_FAIL) != 0,
        .timeout_ms = (bits & HAS_LITTLE_TIME) != 0 && timeout_ms > 50 ? 50 : timeout_ms,
    };
  }
}

/* ---- what must hold ---- */

/* An answer of a sidecar that does what it should is the call's own. */
static void check_answer(const struct place *place, const struct invoke_result *result) {
  const struct peer_call *call = &calls[place->number];
  size_t length = call->payload_length < 16 ? call->payload_length : 16;
  /* Whoever answers a request that has not come whole is no good one. */
  if (!channel_is_served_well(flights.line.channel)) return;
  require(call->came > call->disclaimed, "what is answered has been sent");
  require(result->payload.length == length, "an answer is whole");
  require(memcmp(result->payload.data, call->payload, length) == 0, "an answer is the call's own");
}

/* As flights.h says. */
static bool call_ended(void *context, void *of, const struct invoke_result *result, struct failure *failure,
                       bool fails) {
  struct place *place = of;
  require(context == &flights && !is_over, "after the end of all no call ends");
  require(!place->ended, "a place ends once");
  place->ended = true;
  ended++;
  if (result != NULL) {
    check_answer(place, result);
    return true;
  }
  session_check_failure(failure);
  require(failure->kind != FAILURE_KILLED && failure->kind != FAILURE_CLIENT_GONE,
          "a KILL is no failure of a call");
  is_over = fails || !place->may_fail;
  return place->may_fail;
}

/* What the library has counted is what there is. */
static void check_table(void) {
  size_t none = 0, unsent = 0, bytes = 0;
  for (size_t i = 0; i < flights.count; i++) {
    const struct flight *flight = flights.calls[i].flight;
    none += flight == NULL;
    unsent += flights.calls[i].call_id == 0;
    bytes += flight == NULL ? 0 : flight->bytes;
    require(flight != NULL || flights.calls[i].call_id != 0, "what is given up was sent");
    require(flight == NULL || flights.calls[i].call_id == 0 ||
                flights.calls[i].call_id == flight->call.request.call_id,
            "what is sent has its number");
  }
  require(none == flights.given_up && unsent == flights.unsent && bytes == flights.bytes,
          "the counts are those of the table");
  require(unsent <= CALLS_AT_ONCE, "no more are held than go in one message");
  require(flights.count - none == (size_t)(begun - ended), "who has not ended is under way");
  if (flights.line.channel != NULL)
    require(flights.count - unsent == channel_owed(flights.line.channel),
            "the channel owes an answer to each that was sent");
}

static void check_time(int64_t from_us, const struct settings *settings) {
  session_check_time(from_us, from_us + TIMES_MAX * settings->timeout_ms * INT64_C(1000), SLACK_US);
}

/* After a step that may have failed. */
static void check_step(bool done, bool was_killed, int64_t from_us, const struct settings *settings,
                       const struct failure *failure) {
  check_time(from_us, settings);
  require(!(done && was_killed), "a statement that was killed does not go on");
  require(!(done && is_over), "the end of all is one");
  if (done) return;
  session_check_failure(failure);
  if (peer_is_good())
    require(strstr(failure->text, "may have been carried out") == NULL,
            "a sidecar that answers what it has looked at leaves nothing in doubt");
  require(flights.count == 0 && flights.line.channel == NULL && flights.bytes == 0 && flights.unsent == 0,
          "a failure leaves nothing under way");
}

/* ---- the statement ---- */

static bool begin_one(int number, uint32_t width, const struct settings *settings) {
  struct place *place = &places[number];
  struct failure failure = {.kind = FAILURE_NONE};
  struct invoke_request request = {
      .type = INVOCATION_ROW,
      .function = {.data = "f", .length = 1},
      .payload = {.data = (const char *)calls[number].payload, .length = calls[number].payload_length},
  };
  int64_t from_us = system_now_us();
  bool was_killed = peer_killed_us() > 0;
  begun++;
  bool done = flights_begin(&flights, &request, place->timeout_ms, width, place, &failure);
  check_step(done, was_killed, from_us, settings, &failure);
  if (!done) return false;
  check_table();
  require((uint32_t)(begun - ended) <= width, "no more are under way than may be");
  return true;
}

static bool finish_all(const struct settings *settings) {
  struct failure failure = {.kind = FAILURE_NONE};
  int64_t from_us = system_now_us();
  bool was_killed = peer_killed_us() > 0;
  bool done = flights_finish(&flights, &failure);
  check_step(done, was_killed, from_us, settings, &failure);
  if (done) require(begun == ended, "at the end every place has ended");
  return done;
}

static void run_statement(int count, uint32_t width, bool abandons, const uint8_t *pattern,
                          const struct settings *settings) {
  for (int i = 0; i < count; i++) {
    uint8_t bits = pattern[i % PATTERN_SIZE];
    if ((bits & AFTER_A_GAP) != 0) system_pass_us(GAP_US);
    if ((bits & PEER_ACTS) != 0) peer_acts_between(1);
    if (!begin_one(i, width, settings)) return;
    if ((bits & ENDS_GROUP) != 0 && i % 3 == 2 && !finish_all(settings)) return;
  }
  if (!abandons) (void)finish_all(settings);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
  static const uint32_t widths[] = {1, 2, 3, 8, 60, 100, 200, FLIGHTS_WIDTH_MAX};
  uint8_t pattern[PATTERN_SIZE];
  system_start();
  peer_start(bytes, length, calls, CALLS_MAX);
  begun = ended = 0;
  is_over = false;
  memset(calls, 0, sizeof calls);
  struct settings settings = session_settings();
  uint8_t how = peer_script_byte();
  int count = peer_script_byte() % (CALLS_MAX / 2) + 1;
  if ((how & 0x40) != 0) count *= 2;
  for (int i = 0; i < PATTERN_SIZE; i++) pattern[i] = peer_script_byte();
  choose_calls(count, pattern, settings.timeout_ms);
  flights_start(&flights, &settings, NULL, call_ended, &flights);
  run_statement(count, widths[how % 8], (how & 0x80) != 0, pattern, &settings);
  flights_abandon(&flights);
  channel_pool_clear();
  system_end();
  require(counter_read(COUNTER_CONNECTIONS) == 0, "every channel is closed");
  require(counter_read(COUNTER_IN_FLIGHT) == 0, "no call is left");
  return 0;
}
