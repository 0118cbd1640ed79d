/* Calls under way on one line: their table, the wait for room, deadlines, and what is sent again after a
 * loss. Must not know what a place is. */
#include "flights.h"

#include <stdlib.h>
#include <string.h>

/* The sidecar reads no more of a stream with so much in it unanswered (stream.py, UNANSWERED_BYTES_MAX). */
#define BYTES_MAX (size_t)(64 * 1024 * 1024)

/* Requests of so many bytes, text of theirs alone, are copied to go with others in one message. */
#define SMALL_BYTES 1024u
/* Of the calls that are under way, so many for each that is held: when no more rows come for a while, few
 * calls wait for them. */
#define HELD_SHARE 4
/* Rows that follow each other within so many microseconds come one right after the other. */
#define FAST_US 200

struct flight {
  struct call call;
  void *place;
  uint32_t timeout_ms;
  size_t bytes;
  char text[]; /* what the request's slices point to */
};

struct under_way {
  uint64_t call_id; /* on the channel that the line holds now; 0: not sent on it */
  int64_t deadline_ms;
  struct flight *flight; /* NULL: given up; its answer is owed still */
};

void flights_start(struct flights *flights, const struct settings *settings, MYSQL_THD session,
                   flights_ended ended, void *context) {
  *flights = (struct flights){.ended = ended, .context = context};
  line_start(&flights->line, settings, session);
}

/* ---- the table ---- */

static size_t waited_for(const struct flights *flights) { return flights->count - flights->given_up; }

static bool has_room_for_one(struct flights *flights) {
  if (flights->count < flights->room) return true;
  size_t room = flights->room == 0 ? 16 : 2 * flights->room;
  struct under_way *more = realloc(flights->calls, room * sizeof *more);
  if (more == NULL) return false;
  flights->calls = more;
  flights->room = room;
  return true;
}

static void copy_slice(struct slice *slice, char **to) {
  if (slice->length == 0) return;
  memcpy(*to, slice->data, slice->length);
  slice->data = *to;
  *to += slice->length;
}

/* NULL: no memory. */
static struct flight *new_flight(const struct invoke_request *request, uint32_t timeout_ms, void *place) {
  size_t bytes = request->function.length + request->payload.length + request->qualifier.length +
                 request->region.length + request->role.length + request->tenant_id.length;
  struct flight *flight = malloc(sizeof *flight + bytes);
  if (flight == NULL) return NULL;
  *flight = (struct flight){
      .call = {.request = *request}, .place = place, .timeout_ms = timeout_ms, .bytes = bytes};
  struct invoke_request *copy = &flight->call.request;
  char *to = flight->text;
  copy_slice(&copy->function, &to);
  copy_slice(&copy->payload, &to);
  copy_slice(&copy->qualifier, &to);
  copy_slice(&copy->region, &to);
  copy_slice(&copy->role, &to);
  copy_slice(&copy->tenant_id, &to);
  return flight;
}

/* Its end, whatever it was: nobody waits for it any more. */
static void end_flight(struct flights *flights, struct flight *flight) {
  flights->bytes -= flight->bytes;
  call_count_out(&flight->call);
  free(flight);
}

static struct flight *take_out(struct flights *flights, size_t index) {
  struct flight *flight = flights->calls[index].flight;
  flights->calls[index] = flights->calls[--flights->count];
  if (flight == NULL) flights->given_up--;
  return flight;
}

static size_t find(const struct flights *flights, uint64_t call_id) {
  size_t index = 0;
  while (index < flights->count && flights->calls[index].call_id != call_id) index++;
  return index;
}

/* ---- ends ---- */

static void set_timed_out(struct flight *flight, struct failure *failure) {
  failure_set(failure, FAILURE_TIMEOUT, "timed out after %u ms", flight->timeout_ms);
  call_note_failure(&flight->call, failure);
}

/* The call could not go on, and so the statement cannot. KILL and the like are no failure of a call. */
static bool fail_by(struct flights *flights, struct flight *flight, struct failure *failure) {
  if (failure->kind == FAILURE_TIMEOUT)
    set_timed_out(flight, failure);
  else
    call_note_failure(&flight->call, failure);
  if (failure->kind != FAILURE_KILLED && failure->kind != FAILURE_QUERY_TIME &&
      failure->kind != FAILURE_CLIENT_GONE)
    (void)flights->ended(flights->context, flight->place, NULL, failure, true);
  return false;
}

/* Hands an answer to the call that it belongs to. */
static bool hand_over(struct flights *flights, struct flight *flight, const struct invoke_response *response,
                      struct failure *failure) {
  if (call_end(&flight->call, &flights->line, response, failure) == CALL_OK)
    return flights->ended(flights->context, flight->place, &response->result, failure, false);
  if (failure->kind == FAILURE_TIMEOUT) set_timed_out(flight, failure);
  bool unavailable = failure->kind == FAILURE_UNAVAILABLE;
  return flights->ended(flights->context, flight->place, NULL, failure, unavailable) && !unavailable;
}

/* One answer, which may belong to nobody: CALL_LOST stands for that here. */
static enum call_step land_one(struct flights *flights, const struct invoke_response *response,
                               struct failure *failure) {
  size_t index = find(flights, response->call_id);
  if (index == flights->count || response->call_id == 0) return CALL_LOST;
  struct flight *flight = take_out(flights, index);
  if (flight == NULL) return CALL_OK;
  bool goes_on = hand_over(flights, flight, response, failure);
  end_flight(flights, flight);
  return goes_on ? CALL_OK : CALL_FAILED;
}

/* Takes an answer in, with those that came with it; it is freed. */
static bool land(struct flights *flights, struct call_answer *answer, struct failure *failure) {
  struct invoke_response more;
  enum call_step step = land_one(flights, &answer->response, failure);
  for (size_t i = 0; step == CALL_OK && i < answer->response.more_count; i++) {
    if (call_next(&flights->line, answer, i, &more, failure) != CALL_OK) return false;
    step = land_one(flights, &more, failure);
  }
  if (step == CALL_LOST) call_malformed(&flights->line, answer, failure);
  call_answer_free(answer);
  return step == CALL_OK;
}

/* Takes in whatever has come, without waiting. CALL_OK: no more is there. */
static enum call_step land_arrived(struct flights *flights, struct failure *failure) {
  while (flights->line.channel != NULL) {
    struct call_answer answer = {.message = NULL};
    enum call_step step = call_look(&flights->line, &answer, failure);
    if (step != CALL_OK || answer.message == NULL) return step;
    if (!land(flights, &answer, failure)) return CALL_FAILED;
  }
  return CALL_OK;
}

/* Gives up the calls whose time has passed. */
static bool expire(struct flights *flights, struct failure *failure) {
  int64_t now = wait_clock_ms();
  for (size_t i = 0; i < flights->count; i++) {
    struct under_way *call = &flights->calls[i];
    if (call->flight == NULL || call->deadline_ms > now) continue;
    struct flight *flight = call->flight;
    call->flight = NULL;
    flights->given_up++;
    set_timed_out(flight, failure);
    bool goes_on = flights->ended(flights->context, flight->place, NULL, failure, false);
    end_flight(flights, flight);
    if (!goes_on) return false;
  }
  return true;
}

/* ---- sending, and sending again ---- */

/* Of the calls on a channel that is lost, the first that must not be sent again, and why; NULL if all may. */
static struct flight *first_lost(const struct flights *flights, struct failure *failure) {
  struct flight *first = NULL;
  struct failure why;
  for (size_t i = 0; i < flights->count; i++) {
    struct flight *flight = flights->calls[i].flight;
    if (flight == NULL || flights->calls[i].call_id == 0) continue;
    if (first != NULL && flight->call.request.call_id > first->call.request.call_id) continue;
    if (call_may_begin_anew(&flight->call, &flights->line, &why)) continue;
    first = flight;
    *failure = why;
  }
  return first;
}

/* The call whose time is up first; NULL: none is waited for. */
static struct under_way *earliest(const struct flights *flights) {
  struct under_way *first = NULL;
  for (size_t i = 0; i < flights->count; i++) {
    struct under_way *call = &flights->calls[i];
    if (call->flight != NULL && (first == NULL || call->deadline_ms < first->deadline_ms)) first = call;
  }
  return first;
}

/* A moment's rest, which the end of a call's time may cut short. */
static bool rest_a_moment(struct flights *flights, struct failure *failure) {
  if (line_pause(&flights->line, failure)) return true;
  return fail_by(flights, earliest(flights)->flight, failure);
}

/* The channel is lost. Of the calls on it those that were never taken are to be sent again; one that may have
 * been carried out fails the statement. What had come before the loss counts. */
static bool lose_channel(struct flights *flights, struct failure *failure) {
  bool rest = false;
  if (land_arrived(flights, failure) == CALL_FAILED) return false;
  struct flight *lost = first_lost(flights, failure);
  if (lost != NULL) return fail_by(flights, lost, failure);
  for (size_t i = flights->count; i-- > 0;) {
    struct under_way *call = &flights->calls[i];
    if (call->flight == NULL) {
      (void)take_out(flights, i);
    } else if (call->call_id != 0) {
      call->call_id = 0;
      flights->unsent++;
      rest = rest || call->flight->call.tries > 1;
    }
  }
  line_drop(&flights->line);
  return !rest || rest_a_moment(flights, failure);
}

static bool is_small(const struct flight *flight) { return flight->bytes <= SMALL_BYTES; }

/* Of those that are not sent, some that may go in one message: the first one, and small ones after it if it
 * is small. How many. */
static size_t choose_unsent(const struct flights *flights, struct under_way **chosen) {
  size_t count = 0;
  for (size_t i = 0; i < flights->count && count < flights->unsent && count < CALLS_AT_ONCE; i++) {
    struct under_way *call = &flights->calls[i];
    if (call->call_id != 0 || (count > 0 && !is_small(call->flight))) continue;
    chosen[count++] = call;
    if (!is_small(call->flight)) break;
  }
  return count;
}

/* The time of a call that was held counts from now on. */
static void begin_time(struct under_way *call) {
  if (call->flight->call.tries > 0) return;
  call->deadline_ms = wait_clock_ms() + call->flight->timeout_ms;
  call->flight->call.request.deadline_ms = (uint64_t)call->deadline_ms;
}

/* Sends those that were chosen; *first is the one that a failure is of. */
static enum call_step send_chosen(struct flights *flights, struct under_way *const *chosen, size_t count,
                                  struct flight **first, struct failure *failure) {
  struct call *calls[CALLS_AT_ONCE];
  const struct under_way *earliest = chosen[0];
  for (size_t i = 0; i < count; i++) {
    calls[i] = &chosen[i]->flight->call;
    begin_time(chosen[i]);
    if (chosen[i]->deadline_ms < earliest->deadline_ms) earliest = chosen[i];
  }
  flights->unsent -= count;
  *first = earliest->flight;
  flights->line.wait.deadline_ms = earliest->deadline_ms;
  enum call_step step = calls_begin(calls, count, &flights->line, failure);
  for (size_t i = 0; i < count; i++) chosen[i]->call_id = chosen[i]->flight->call.request.call_id;
  return step;
}

static bool send_all(struct flights *flights, struct failure *failure) {
  while (flights->unsent > 0) {
    struct under_way *chosen[CALLS_AT_ONCE] = {NULL};
    struct flight *first = NULL;
    size_t count = choose_unsent(flights, chosen);
    if (count == 0) break;
    enum call_step step = send_chosen(flights, chosen, count, &first, failure);
    if (step == CALL_FAILED) return fail_by(flights, first, failure);
    if (step == CALL_LOST && !lose_channel(flights, failure)) return false;
  }
  return true;
}

static bool send_lost(struct flights *flights, struct failure *failure) {
  return lose_channel(flights, failure) && send_all(flights, failure);
}

/* Takes in what is there; sends again what was lost. */
static bool look(struct flights *flights, struct failure *failure) {
  enum call_step step = land_arrived(flights, failure);
  return step == CALL_OK || (step == CALL_LOST && send_lost(flights, failure));
}

/* ---- waiting ---- */

/* Waits until at least one call that is waited for, of which there is one, has ended. A peer that answers
 * what has not reached it can end them all while they are sent. */
static bool wait_for_one(struct flights *flights, struct failure *failure) {
  struct call_answer answer = {.message = NULL};
  if (!send_all(flights, failure)) return false;
  if (waited_for(flights) == 0) return true;
  flights->line.wait.deadline_ms = earliest(flights)->deadline_ms;
  enum call_step step = call_receive(&flights->line, &answer, failure);
  if (step == CALL_OK) return land(flights, &answer, failure);
  if (step == CALL_LOST) return send_lost(flights, failure);
  /* An answer that came in time, while nobody looked, counts. */
  return failure->kind == FAILURE_TIMEOUT && look(flights, failure) && expire(flights, failure);
}

/* Whoever killed the statement, or the end of its client, is seen here. */
static bool enter(struct flights *flights, struct failure *failure) {
  line_wait_until(&flights->line, wait_clock_ms() + SETTINGS_TIMEOUT_MAX_MS);
  return line_may_go_on(&flights->line, failure) && look(flights, failure);
}

static bool make_room(struct flights *flights, uint32_t width, size_t bytes, struct failure *failure) {
  while (waited_for(flights) >= width || (waited_for(flights) > 0 && flights->bytes + bytes > BYTES_MAX))
    if (!wait_for_one(flights, failure)) return false;
  return true;
}

/* Into the table, not sent yet. False: no memory. */
static bool put_in(struct flights *flights, const struct invoke_request *request, uint32_t timeout_ms,
                   void *place) {
  struct flight *flight = has_room_for_one(flights) ? new_flight(request, timeout_ms, place) : NULL;
  if (flight == NULL) return false;
  call_count_in(&flight->call);
  int64_t deadline_ms = wait_clock_ms() + timeout_ms;
  flight->call.request.deadline_ms = (uint64_t)deadline_ms;
  flight->call.request.takes_more = true;
  flights->bytes += flight->bytes;
  struct under_way *call = &flights->calls[flights->count++];
  *call = (struct under_way){.deadline_ms = deadline_ms, .flight = flight};
  flights->unsent++;
  return true;
}

/* Whether the call that was put in may wait for the next ones, so that they go in one message: while rows
 * come one right after the other, and there is room for more of them. */
static bool may_wait(struct flights *flights, uint32_t width) {
  int64_t since = wait_clock_us() - flights->begun_us;
  const struct flight *last = flights->calls[flights->count - 1].flight;
  size_t sent = waited_for(flights) - flights->unsent;
  return since < FAST_US && is_small(last) && flights->unsent < CALLS_AT_ONCE &&
         HELD_SHARE * flights->unsent <= sent && waited_for(flights) < width;
}

static bool begin(struct flights *flights, const struct invoke_request *request, uint32_t timeout_ms,
                  uint32_t width, void *place, struct failure *failure) {
  if (!enter(flights, failure) || !make_room(flights, width, request->payload.length, failure)) return false;
  if (!put_in(flights, request, timeout_ms, place))
    return failure_set(failure, FAILURE_SERVER, "no memory for the request");
  bool sent = may_wait(flights, width) || send_all(flights, failure);
  flights->begun_us = wait_clock_us();
  return sent;
}

bool flights_begin(struct flights *flights, const struct invoke_request *request, uint32_t timeout_ms,
                   uint32_t width, void *place, struct failure *failure) {
  bool begun = begin(flights, request, timeout_ms, width, place, failure);
  if (!begun) flights_abandon(flights);
  return begun;
}

static bool finish(struct flights *flights, struct failure *failure) {
  if (!enter(flights, failure)) return false;
  while (waited_for(flights) > 0)
    if (!wait_for_one(flights, failure)) return false;
  return true;
}

bool flights_finish(struct flights *flights, struct failure *failure) {
  bool finished = finish(flights, failure);
  if (finished && flights->count == 0 && flights->line.channel != NULL) line_release(&flights->line);
  flights_abandon(flights); /* what is left: everything, or what was given up */
  return finished;
}

void flights_abandon(struct flights *flights) {
  line_drop(&flights->line);
  while (flights->count > 0) {
    struct flight *flight = take_out(flights, flights->count - 1);
    if (flight != NULL) end_flight(flights, flight);
  }
  free(flights->calls);
  flights->calls = NULL;
  flights->room = 0;
  flights->unsent = 0;
}
