/* Unit tests of udf/failure.c: the text that a failure keeps, and the SQL error that it becomes.
 * Stands in for server.c, which is the only thing that failure.c calls. */
#include "failure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h wants some of the above first. */
#include <cmocka.h>

#include "mysql_abi.h"
#include "server.h"

/* mysqld writes "%s UDF failed; %s" (ER_UDF_ERROR) into 512 bytes with their NUL. */
#define LONGEST_INTRODUCTION "lambda_invoke UDF failed; "

static int raised, raised_flags;
static const char *first, *second;

void server_raise(int error_id, int flags, ...) {
  va_list arguments;
  raised = error_id;
  raised_flags = flags;
  first = second = NULL;
  va_start(arguments, flags);
  if (error_id == ER_UDF_ERROR || error_id == ER_SPECIFIC_ACCESS_DENIED_ERROR)
    first = va_arg(arguments, const char *);
  if (error_id == ER_UDF_ERROR) second = va_arg(arguments, const char *);
  va_end(arguments);
}

static void a_text_is_formatted(void **state) {
  struct failure failure;
  (void)state;
  assert_false(failure_set(&failure, FAILURE_TIMEOUT, "timed out after %u ms", 5u));
  assert_int_equal(failure.kind, FAILURE_TIMEOUT);
  assert_string_equal(failure.text, "timed out after 5 ms");
}

static void a_percent_sign_in_an_argument_stays(void **state) {
  struct failure failure;
  (void)state;
  failure_set(&failure, FAILURE_API, "%s", "100%s %n %");
  assert_string_equal(failure.text, "100%s %n %");
}

static void every_text_fits_into_mysqls_message(void **state) {
  struct failure failure;
  char text[2 * FAILURE_TEXT_SIZE];
  (void)state;
  memset(text, 'x', sizeof text);
  text[sizeof text - 1] = '\0';
  failure_set(&failure, FAILURE_API, "%s", text);
  assert_int_equal(strlen(failure.text), FAILURE_TEXT_SIZE - 1);
  assert_true(strlen(LONGEST_INTRODUCTION) + FAILURE_TEXT_SIZE <= MYSQL_ERRMSG_SIZE);
}

static void control_characters_become_question_marks(void **state) {
  struct failure failure;
  (void)state;
  failure_set(&failure, FAILURE_API, "%s", "a\nb\tc\x1b[31md\x7f");
  assert_string_equal(failure.text, "a?b?c?[31md?");
}

static void what_steers_a_log_or_a_terminal_becomes_one_question_mark(void **state) {
  static const char *const characters[] = {
      "\xc2\x80",     "\xc2\x85",     "\xc2\x9b",     "\xc2\x9f",     "\xd8\x9c",     "\xe2\x80\x8b",
      "\xe2\x80\x8e", "\xe2\x80\x8f", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaa", "\xe2\x80\xae",
      "\xe2\x81\xa0", "\xe2\x81\xa6", "\xe2\x81\xa9", "\xe2\x81\xaf", "\xef\xbb\xbf",
  };
  /* Their neighbours stay. */
  static const char *const others[] = {
      "\xc2\xa0",     "\xd8\x9b",     "\xe2\x80\x8a", "\xe2\x80\x90", "\xe2\x80\xa7",
      "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe2\x81\xb0", "\xef\xbb\xbe", "\xe2\x82\xac",
  };
  struct failure failure;
  char kept[16];
  (void)state;
  for (size_t i = 0; i < sizeof characters / sizeof characters[0]; i++) {
    failure_set(&failure, FAILURE_API, "a%sz", characters[i]);
    assert_string_equal(failure.text, "a?z");
  }
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
    snprintf(kept, sizeof kept, "a%sz", others[i]);
    failure_set(&failure, FAILURE_API, "%s", kept);
    assert_string_equal(failure.text, kept);
  }
}

static void utf8_stays_and_other_bytes_become_question_marks(void **state) {
  static const struct {
    const char *given, *kept;
  } cases[] = {
      {"\xc3\xa4\xe2\x82\xac", "\xc3\xa4\xe2\x82\xac"},
      {"a\xf0\x9f\x98\x80z", "a?z"}, /* MySQL's messages are utf8mb3 */
      {"a\xff z", "a? z"},
      {"\x80z", "?z"},
      {"\xc0\xafz", "??z"},           /* overlong */
      {"\xed\xa0\x80z", "???z"},      /* a surrogate */
      {"\xf4\x90\x80\x80z", "????z"}, /* above U+10FFFF */
      {"\xe2\x82z", "??z"},
  };
  struct failure failure;
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    failure_set(&failure, FAILURE_API, "%s", cases[i].given);
    assert_string_equal(failure.text, cases[i].kept);
  }
}

static void a_text_of_which_nothing_can_be_shown_says_so(void **state) {
  static const struct {
    const char *given;
    int length;
  } cases[] = {{"", 0}, {"\xc2", 1}, {"\xf0\x9f\x98", 3}, {"\0why", 4}};
  struct failure failure;
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    failure_set(&failure, FAILURE_API, "%.*s", cases[i].length, cases[i].given);
    assert_string_equal(failure.text, "no reason that can be shown");
  }
}

static void a_long_text_is_not_cut_inside_a_character(void **state) {
  static const char *const characters[] = {"\xc3\xa4", "\xe2\x82\xac"};
  struct failure failure;
  char text[2 * FAILURE_TEXT_SIZE];
  (void)state;
  for (size_t i = 0; i < sizeof characters / sizeof characters[0]; i++) {
    size_t size = strlen(characters[i]);
    for (size_t shift = 0; shift < size; shift++) {
      memset(text, 'x', shift);
      text[shift] = '\0';
      for (size_t at = shift; at + size < sizeof text; at += size) memcpy(text + at, characters[i], size + 1);
      failure_set(&failure, FAILURE_API, "%s", text);
      assert_int_equal((strlen(failure.text) - shift) % size, 0);
      assert_true(strlen(failure.text) > FAILURE_TEXT_SIZE - 1 - size);
      assert_memory_equal(failure.text, text, strlen(failure.text));
    }
  }
}

static void an_ending_stands_behind_the_text(void **state) {
  struct failure failure;
  (void)state;
  failure_set(&failure, FAILURE_API, "%s", "why");
  failure_end_with(&failure, " (trace 1)");
  assert_string_equal(failure.text, "why (trace 1)");
  assert_int_equal(failure.kind, FAILURE_API);
}

static void a_text_is_cut_for_its_ending_and_not_inside_a_character(void **state) {
  static const char ending[] = " (trace 4bf92f3577b34da6a3ce929d0e0e4736)";
  struct failure failure;
  char text[2 * FAILURE_TEXT_SIZE];
  (void)state;
  for (size_t shift = 0; shift < 3; shift++) {
    memset(text, 'x', shift);
    text[shift] = '\0';
    for (size_t at = shift; at + 3 < sizeof text; at += 3) memcpy(text + at, "\xe2\x82\xac", 4);
    failure_set(&failure, FAILURE_API, "%s", text);
    failure_end_with(&failure, ending);
    size_t length = strlen(failure.text), kept = length - strlen(ending);
    assert_true(length < FAILURE_TEXT_SIZE && length > FAILURE_TEXT_SIZE - 1 - 3);
    assert_string_equal(failure.text + kept, ending);
    assert_int_equal((kept - shift) % 3, 0);
    assert_memory_equal(failure.text, text, kept);
  }
}

static void each_kind_raises_the_error_of_the_design(void **state) {
  static const struct {
    enum failure_kind kind;
    int error, flags;
  } cases[] = {
      {FAILURE_PRIVILEGE, ER_SPECIFIC_ACCESS_DENIED_ERROR, 0},
      {FAILURE_ARGUMENT, ER_UDF_ERROR, 0},
      {FAILURE_DENIED, ER_UDF_ERROR, 0},
      {FAILURE_API, ER_UDF_ERROR, 0},
      {FAILURE_FUNCTION, ER_UDF_ERROR, 0},
      {FAILURE_UNAVAILABLE, ER_UDF_ERROR, 0},
      {FAILURE_TIMEOUT, ER_UDF_ERROR, 0},
      {FAILURE_OVERLOADED, ER_UDF_ERROR, 0},
      {FAILURE_KILLED, ER_QUERY_INTERRUPTED, ME_FATALERROR},
      {FAILURE_QUERY_TIME, ER_QUERY_TIMEOUT, ME_FATALERROR},
      {FAILURE_CLIENT_GONE, ER_UDF_ERROR, ME_FATALERROR},
      {FAILURE_SERVER, ER_UDF_ERROR, 0},
      {FAILURE_NONE, ER_UDF_ERROR, 0}, /* a defect, but never silence */
  };
  struct failure failure;
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    failure_set(&failure, cases[i].kind, "why");
    raised = 0;
    failure_raise(&failure, "lambda_sync");
    assert_int_equal(raised, cases[i].error);
    assert_int_equal(raised_flags, cases[i].flags);
    if (raised == ER_SPECIFIC_ACCESS_DENIED_ERROR) assert_string_equal(first, "Invoke Lambda");
    if (raised != ER_UDF_ERROR) continue;
    assert_string_equal(first, "lambda_sync");
    assert_string_equal(second, "why");
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_text_is_formatted),
      cmocka_unit_test(a_percent_sign_in_an_argument_stays),
      cmocka_unit_test(every_text_fits_into_mysqls_message),
      cmocka_unit_test(control_characters_become_question_marks),
      cmocka_unit_test(what_steers_a_log_or_a_terminal_becomes_one_question_mark),
      cmocka_unit_test(utf8_stays_and_other_bytes_become_question_marks),
      cmocka_unit_test(a_text_of_which_nothing_can_be_shown_says_so),
      cmocka_unit_test(a_long_text_is_not_cut_inside_a_character),
      cmocka_unit_test(an_ending_stands_behind_the_text),
      cmocka_unit_test(a_text_is_cut_for_its_ending_and_not_inside_a_character),
      cmocka_unit_test(each_kind_raises_the_error_of_the_design),
  };
  return cmocka_run_group_tests_name("failure", tests, NULL, NULL);
}
