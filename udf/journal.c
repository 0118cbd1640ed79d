/* The calls under way as a list, and the last failures as a ring. Whoever reads copies a few calls at a time,
 * so that no call waits long for the lock. Must not know what becomes of a call. */
#include "journal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "waiting.h"

/* So many are copied under one hold of the lock: some microseconds. */
#define AT_ONCE 32

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* A ring of those under way, the oldest first. A reader's own place in it has no request. */
static struct journal_call running = {.previous = &running, .next = &running};
static uint64_t begun_ever;
static struct journal_row failures[JOURNAL_FAILURES_MAX];
static size_t failures_ever;

static void link_before(struct journal_call *call, struct journal_call *next) {
  call->previous = next->previous;
  call->next = next;
  next->previous->next = call;
  next->previous = call;
}

static void unlink_call(struct journal_call *call) {
  call->previous->next = call->next;
  call->next->previous = call->previous;
}

void journal_begin(struct journal_call *call, const struct invoke_request *request, int64_t begun_us) {
  call->request = request;
  call->begun_us = begun_us;
  atomic_init(&call->phase, JOURNAL_HELD);
  call->has_failed = false;
  pthread_mutex_lock(&lock);
  call->number = ++begun_ever;
  link_before(call, &running);
  pthread_mutex_unlock(&lock);
}

void journal_phase(struct journal_call *call, enum journal_phase phase) {
  atomic_store_explicit(&call->phase, (int)phase, memory_order_relaxed);
}

void journal_end(struct journal_call *call) {
  pthread_mutex_lock(&lock);
  unlink_call(call);
  pthread_mutex_unlock(&lock);
  call->request = NULL;
}

/* Cut to fit; texts of the server and those that were checked do. */
static void copy(char *to, size_t size, struct slice from) {
  size_t length = from.length < size ? from.length : size - 1;
  if (length > 0) memcpy(to, from.data, length);
  to[length] = '\0';
}

static bool is_callback(const struct invoke_request *request) {
  return request->type == INVOCATION_CALLBACK_SUCCESS || request->type == INVOCATION_CALLBACK_FAILURE;
}

/* Whoever knows a callback's id can complete it. */
static struct slice shown_function(const struct invoke_request *request) {
  static const struct slice callback = {.data = "(callback)", .length = sizeof "(callback)" - 1};
  return is_callback(request) ? callback : request->function;
}

/* And Lambda's words about one may quote it. */
static struct slice shown_text(const struct invoke_request *request, enum failure_kind kind,
                               const char *text) {
  if (text == NULL || (kind == FAILURE_API && is_callback(request))) return (struct slice){.data = NULL};
  return (struct slice){.data = text, .length = strlen(text)};
}

/* Of a call under way, while it cannot end. */
static void show(const struct journal_call *call, struct journal_row *row, int64_t now_us) {
  const struct invoke_request *request = call->request;
  row->number = call->number;
  row->connection_id = request->connection_id;
  row->begun_us = call->begun_us;
  row->lasted_us = now_us - call->begun_us;
  row->phase = (enum journal_phase)atomic_load_explicit(&call->phase, memory_order_relaxed);
  row->type = request->type;
  row->kind = FAILURE_NONE;
  copy(row->user, sizeof row->user, request->user);
  copy(row->host, sizeof row->host, request->host);
  copy(row->function, sizeof row->function, shown_function(request));
  row->text[0] = row->request_id[0] = '\0';
}

void journal_failed(struct journal_call *call, enum failure_kind kind, const char *text,
                    struct slice request_id) {
  if (call->request == NULL || call->has_failed) return; /* nobody else changes them */
  struct slice why = shown_text(call->request, kind, text);
  int64_t now_us = wait_clock_us();
  pthread_mutex_lock(&lock);
  call->has_failed = true;
  struct journal_row *row = &failures[failures_ever++ % JOURNAL_FAILURES_MAX];
  show(call, row, now_us);
  row->phase = JOURNAL_FAILED;
  row->kind = kind;
  copy(row->text, sizeof row->text, why);
  copy(row->request_id, sizeof row->request_id, request_id);
  pthread_mutex_unlock(&lock);
}

/* Copies those behind the reader's place, and moves it behind them. False: there are no more. */
static bool read_some(struct journal_call *place, struct journal_row *rows, size_t *count) {
  int64_t now_us = wait_clock_us();
  struct journal_call *next = place->next;
  unlink_call(place);
  for (int i = 0; i < AT_ONCE && next != &running && *count < JOURNAL_RUNNING_MAX; i++) {
    if (next->request != NULL && !next->has_failed) show(next, &rows[(*count)++], now_us);
    next = next->next;
  }
  link_before(place, next);
  return next != &running && *count < JOURNAL_RUNNING_MAX;
}

static void read_failures(struct journal_row *rows, size_t *count) {
  size_t kept = failures_ever < JOURNAL_FAILURES_MAX ? failures_ever : JOURNAL_FAILURES_MAX;
  for (size_t i = 1; i <= kept; i++) rows[(*count)++] = failures[(failures_ever - i) % JOURNAL_FAILURES_MAX];
}

struct journal_row *journal_read(size_t *count) {
  struct journal_row *rows = malloc((JOURNAL_RUNNING_MAX + JOURNAL_FAILURES_MAX) * sizeof *rows);
  struct journal_call place = {.request = NULL};
  *count = 0;
  if (rows == NULL) return NULL;
  pthread_mutex_lock(&lock);
  link_before(&place, running.next);
  while (read_some(&place, rows, count)) {
    pthread_mutex_unlock(&lock);
    pthread_mutex_lock(&lock);
  }
  unlink_call(&place);
  read_failures(rows, count);
  pthread_mutex_unlock(&lock);
  return rows;
}
