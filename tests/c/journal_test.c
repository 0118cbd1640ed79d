/* Unit tests of udf/journal.c: what is shown of calls, in which order, and while many threads begin and end
 * them. Knows nothing of how a call travels. */
#include "journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h wants some of the above first. */
#include <cmocka.h>
#include <pthread.h>

#include "waiting.h"

#define SESSIONS 4
#define ROUNDS 2000

static struct slice text(const char *of) { return (struct slice){.data = of, .length = strlen(of)}; }

static struct invoke_request request_of(const char *function, uint64_t connection) {
  return (struct invoke_request){.user = text("app"),
                                 .host = text("localhost"),
                                 .function = text(function),
                                 .type = INVOCATION_EVENT,
                                 .connection_id = connection};
}

static void those_under_way_come_first_and_the_oldest_of_them(void **state) {
  struct invoke_request requests[] = {request_of("one", 1), request_of("two", 2), request_of("three", 3)};
  struct journal_call calls[3];
  size_t count = 0;
  (void)state;
  for (size_t i = 0; i < 3; i++) journal_begin(&calls[i], &requests[i], wait_clock_us() - 1000);
  journal_phase(&calls[0], JOURNAL_SENT);
  journal_phase(&calls[2], JOURNAL_CONNECTING);
  journal_failed(&calls[1], FAILURE_API, "why", text("id-1"));
  journal_failed(&calls[1], FAILURE_KILLED, "later", text("")); /* once is enough */
  struct journal_row *rows = journal_read(&count);
  assert_int_equal(count, 3);
  assert_string_equal(rows[0].function, "one");
  assert_int_equal(rows[0].phase, JOURNAL_SENT);
  assert_string_equal(rows[0].user, "app");
  assert_string_equal(rows[0].host, "localhost");
  assert_int_equal(rows[0].connection_id, 1);
  assert_int_equal(rows[0].type, INVOCATION_EVENT);
  assert_true(rows[0].lasted_us >= 1000);
  assert_string_equal(rows[1].function, "three");
  assert_int_equal(rows[1].phase, JOURNAL_CONNECTING);
  assert_string_equal(rows[2].function, "two");
  assert_int_equal(rows[2].phase, JOURNAL_FAILED);
  assert_int_equal(rows[2].kind, FAILURE_API);
  assert_string_equal(rows[2].text, "why");
  assert_string_equal(rows[2].request_id, "id-1");
  free(rows);
  for (size_t i = 0; i < 3; i++) journal_end(&calls[i]);
  rows = journal_read(&count);
  assert_int_equal(count, 1);
  free(rows);
}

static void a_callbacks_id_is_not_shown_and_neither_is_what_lambda_says_of_it(void **state) {
  enum failure_kind kinds[] = {FAILURE_API, FAILURE_TIMEOUT};
  const char *texts[] = {"no callback canary", "timed out"}, *shown[] = {"", "timed out"};
  struct invoke_request request = request_of("canary", 1);
  (void)state;
  request.type = INVOCATION_CALLBACK_FAILURE;
  for (size_t i = 0; i < 2; i++) {
    struct journal_call call;
    size_t count = 0;
    journal_begin(&call, &request, wait_clock_us());
    journal_failed(&call, kinds[i], texts[i], text("id-1"));
    struct journal_row *rows = journal_read(&count);
    assert_string_equal(rows[0].function, "(callback)");
    assert_int_equal(rows[0].kind, kinds[i]);
    assert_string_equal(rows[0].text, shown[i]);
    assert_string_equal(rows[0].request_id, "id-1");
    free(rows);
    journal_end(&call);
  }
}

static void a_failure_of_a_call_that_is_not_under_way_is_none(void **state) {
  struct journal_call call = {.request = NULL};
  size_t before = 0, after = 0;
  (void)state;
  free(journal_read(&before));
  journal_failed(&call, FAILURE_API, "why", text(""));
  free(journal_read(&after));
  assert_int_equal(before, after);
}

static void more_than_are_shown_are_counted_from_the_oldest(void **state) {
  struct invoke_request request = request_of("f", 7);
  struct journal_call *calls = calloc(JOURNAL_RUNNING_MAX + 50, sizeof *calls);
  size_t count = 0;
  (void)state;
  for (size_t i = 0; i < JOURNAL_RUNNING_MAX + 50; i++) journal_begin(&calls[i], &request, (int64_t)i);
  struct journal_row *rows = journal_read(&count);
  assert_true(count >= JOURNAL_RUNNING_MAX && count <= JOURNAL_RUNNING_MAX + JOURNAL_FAILURES_MAX);
  for (size_t i = 0; i < JOURNAL_RUNNING_MAX; i++) assert_int_equal(rows[i].begun_us, i);
  free(rows);
  for (size_t i = 0; i < JOURNAL_RUNNING_MAX + 50; i++) journal_end(&calls[i]);
  free(calls);
}

static void *session(void *number) {
  for (size_t i = 0; i < ROUNDS; i++) {
    char *user = strdup("app");
    struct invoke_request request = request_of("f", *(const uint64_t *)number);
    struct journal_call calls[3];
    request.user = text(user);
    for (size_t j = 0; j < 3; j++) journal_begin(&calls[j], &request, wait_clock_us());
    journal_phase(&calls[i % 3], JOURNAL_SENT);
    if (i % 5 == 0) journal_failed(&calls[0], FAILURE_TIMEOUT, "late", text("id"));
    for (size_t j = 0; j < 3; j++) journal_end(&calls[(i + j) % 3]);
    free(user); /* the sanitizer finds whoever looks at it now */
  }
  return NULL;
}

static void readers_see_whole_calls_while_others_begin_and_end(void **state) {
  pthread_t threads[SESSIONS];
  uint64_t numbers[SESSIONS];
  size_t count = 0;
  (void)state;
  for (size_t i = 0; i < SESSIONS; i++) {
    numbers[i] = i;
    assert_int_equal(pthread_create(&threads[i], NULL, session, &numbers[i]), 0);
  }
  for (int read = 0; read < 200; read++) {
    struct journal_row *rows = journal_read(&count);
    for (size_t i = 0; i < count; i++) {
      assert_string_equal(rows[i].host, "localhost");
      if (rows[i].phase == JOURNAL_FAILED) continue;
      assert_string_equal(rows[i].user, "app");
      assert_true(rows[i].connection_id < SESSIONS);
    }
    free(rows);
  }
  for (size_t i = 0; i < SESSIONS; i++) pthread_join(threads[i], NULL);
  struct journal_row *rows = journal_read(&count);
  assert_int_equal(count, JOURNAL_FAILURES_MAX);
  for (size_t i = 0; i < count; i++) assert_int_equal(rows[i].phase, JOURNAL_FAILED);
  free(rows);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(those_under_way_come_first_and_the_oldest_of_them),
      cmocka_unit_test(a_callbacks_id_is_not_shown_and_neither_is_what_lambda_says_of_it),
      cmocka_unit_test(a_failure_of_a_call_that_is_not_under_way_is_none),
      cmocka_unit_test(more_than_are_shown_are_counted_from_the_oldest),
      cmocka_unit_test(readers_see_whole_calls_while_others_begin_and_end),
  };
  return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
