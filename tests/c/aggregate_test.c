/* Unit tests of what the aggregates are made of: json_read, aggregate_options, gathered, distinct.
 * Knows the headers' contracts only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h wants the five above first. */
#include <cmocka.h>

#include "aggregate_options.h"
#include "distinct.h"
#include "gathered.h"
#include "json_read.h"
#include "server.h"

/* failure.c's only need; nothing is raised here. */
void server_raise(int error_id, int flags, ...) { (void)error_id, (void)flags; }

static struct slice text(const char *of) { return (struct slice){.data = of, .length = strlen(of)}; }

/* ---- json_read ---- */

struct seen {
  char members[512];
  size_t used;
};

static bool see(void *context, const struct json_member *member) {
  static const char *const kinds[] = {"other", "string", "integer", "true", "false"};
  struct seen *seen = context;
  seen->used += (size_t)snprintf(seen->members + seen->used, sizeof seen->members - seen->used, "%.*s=%s",
                                 (int)member->name_length, member->name, kinds[member->kind]);
  if (member->kind == JSON_STRING)
    seen->used += (size_t)snprintf(seen->members + seen->used, sizeof seen->members - seen->used, ":%.*s",
                                   (int)member->length, member->text);
  if (member->kind == JSON_INTEGER)
    seen->used += (size_t)snprintf(seen->members + seen->used, sizeof seen->members - seen->used, ":%lld",
                                   (long long)member->integer);
  seen->used += (size_t)snprintf(seen->members + seen->used, sizeof seen->members - seen->used, ";");
  return member->name_length != 4 || memcmp(member->name, "stop", 4) != 0;
}

/* Of an exact copy, so that a byte too many is seen. */
static enum json_read read_text(const char *json, struct seen *seen, size_t *at) {
  size_t length = strlen(json);
  char *copy = malloc(length > 0 ? length : 1), *scratch = malloc(length > 0 ? length : 1);
  const char *what = NULL;
  assert_non_null(copy);
  assert_non_null(scratch);
  memcpy(copy, json, length);
  *seen = (struct seen){.used = 0};
  enum json_read read = json_read_object(copy, length, scratch, see, seen, &what, at);
  assert_true((read == JSON_READ_MALFORMED) <= (what[0] != '\0'));
  free(copy);
  free(scratch);
  return read;
}

static void members_of_an_object_are_read_in_order(void **state) {
  static const struct {
    const char *json, *members;
  } cases[] = {
      {"{}", ""},
      {" \t\r\n{ } ", ""},
      {"{\"a\":1}", "a=integer:1;"},
      {"{\"a\": -0, \"b\": 9223372036854775807, \"c\": -9223372036854775808}",
       "a=integer:0;b=integer:9223372036854775807;c=integer:-9223372036854775808;"},
      {"{\"a\": 9223372036854775808, \"b\": 1.0, \"c\": 1e2, \"d\": -1.5E-3}",
       "a=other;b=other;c=other;d=other;"},
      {"{\"a\": true, \"a\": false, \"a\": null}", "a=true;a=false;a=other;"},
      {"{\"a\": \"\", \"\": \"b\"}", "a=string:;=string:b;"},
      {"{\"\\u0061\": \"\\\"\\\\\\/\\n\\u00e9\\u20ac\\ud83d\\ude00\"}",
       "a=string:\"\\/\n\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80;"},
      {"{\"a\": [1, {\"b\": [], \"c\": {}}, \"x\\u0041\"], \"d\": \"y\"}", "a=other;d=string:y;"},
      {"{\"a\": {\"b\": {\"c\": [[[1], [2]], {}]}}, \"z\": 1}", "a=other;z=integer:1;"},
  };
  struct seen seen;
  size_t at = 0;
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    assert_int_equal(read_text(cases[i].json, &seen, &at), JSON_READ);
    assert_string_equal(seen.members, cases[i].members);
  }
}

static void what_is_no_json_says_where(void **state) {
  static const struct {
    const char *json;
    size_t at;
  } cases[] = {
      {"{", 1},
      {"{\"a\"", 4},
      {"{\"a\":", 5},
      {"{\"a\": 1", 7},
      {"{\"a\": 1,}", 8},
      {"{\"a\": 1 \"b\"", 8},
      {"{a: 1}", 1},
      {"{\"a\": 01}", 7},
      {"{\"a\": 1.}", 8},
      {"{\"a\": 1e+}", 9},
      {"{\"a\": -}", 7},
      {"{\"a\": +1}", 6},
      {"{\"a\": NaN}", 6},
      {"{\"a\": tru}", 9},
      {"{\"a\": \"\n\"}", 7},
      {"{\"a\": \"\\x\"}", 8},
      {"{\"a\": \"\\u12g4\"}", 11},
      {"{\"a\": \"\\ud800\"}", 13},
      {"{\"a\": \"\\udc00\\ud800\"}", 13},
      {"{\"a\": [1}}", 8},
      {"{\"a\": {\"b\"}}", 10},
      {"{\"a\": {\"b\": 1]}", 13},
      {"{\"a\": [1,]}", 9},
      {"{} {}", 3},
      {"{\"a\": 1}x", 8},
  };
  struct seen seen;
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    size_t at = 0;
    if (read_text(cases[i].json, &seen, &at) != JSON_READ_MALFORMED) fail_msg("taken: %s", cases[i].json);
    if (at != cases[i].at) fail_msg("%s: at %zu", cases[i].json, at);
  }
}

static void other_values_are_no_object(void **state) {
  static const char *const texts[] = {"", " ", "[]", "1", "\"{}\"", "null", "x"};
  struct seen seen;
  size_t at = 0;
  (void)state;
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
    assert_int_equal(read_text(texts[i], &seen, &at), JSON_READ_NOT_AN_OBJECT);
}

static void depth_has_a_bound(void **state) {
  static char json[2 * JSON_DEPTH_MAX + 64];
  struct seen seen;
  size_t at = 0;
  (void)state;
  for (int depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
    size_t used = (size_t)sprintf(json, "{\"a\": ");
    memset(json + used, '[', (size_t)depth);
    memset(json + used + depth, ']', (size_t)depth);
    (void)strcpy(json + used + 2 * depth, "}");
    assert_int_equal(read_text(json, &seen, &at), depth > JSON_DEPTH_MAX ? JSON_READ_TOO_DEEP : JSON_READ);
  }
}

static void whoever_takes_members_can_stop(void **state) {
  struct seen seen;
  size_t at = 0;
  (void)state;
  assert_int_equal(read_text("{\"a\": 1, \"stop\": 2, \"b\": x}", &seen, &at), JSON_READ_STOPPED);
  assert_string_equal(seen.members, "a=integer:1;stop=integer:2;");
}

/* ---- aggregate_options ---- */

static void a_name_is_the_function_alone(void **state) {
  struct aggregate_options options = {.text = NULL};
  struct failure failure;
  (void)state;
  assert_true(aggregate_options_read(&options, AGGREGATE_MAP, text("Echo"), &failure));
  assert_int_equal(options.function.length, 4);
  assert_memory_equal(options.function.data, "Echo", 4);
  assert_int_equal(options.qualifier.length + options.timeout_ms + options.concurrency, 0);
  assert_true(aggregate_options_read(&options, AGGREGATE_MAP, text(""), &failure));
  assert_int_equal(options.function.length, 0);
  assert_non_null(options.function.data);
  assert_false(aggregate_options_read(&options, AGGREGATE_MAP, (struct slice){.data = NULL}, &failure));
  assert_string_equal(failure.text, "function is NULL");
  assert_null(options.text);
  aggregate_options_free(&options);
}

static void options_of_the_row_before_are_not_read_again(void **state) {
  static const char json[] = "{\"function\": \"f\", \"timeout_ms\": 7, \"distinct\": true}";
  struct aggregate_options options = {.text = NULL};
  struct failure failure;
  (void)state;
  assert_true(aggregate_options_read(&options, AGGREGATE_MAP, text(json), &failure));
  assert_int_equal(options.timeout_ms, 7);
  assert_true(options.distinct);
  const char *kept = options.text;
  assert_true(aggregate_options_read(&options, AGGREGATE_MAP, text(json), &failure));
  assert_ptr_equal(options.text, kept);
  assert_true(aggregate_options_read(&options, AGGREGATE_MAP, text("{\"function\": \"g\"}"), &failure));
  assert_int_equal(options.timeout_ms, 0);
  assert_false(options.distinct);
  aggregate_options_free(&options);
}

static void of_an_option_that_comes_twice_the_last_counts(void **state) {
  struct aggregate_options options = {.text = NULL};
  struct failure failure;
  (void)state;
  assert_true(aggregate_options_read(
      &options, AGGREGATE_MAP,
      text("{\"function\": 7, \"concurrency\": 2, \"function\": \"f\", \"concurrency\": 3}"), &failure));
  assert_int_equal(options.concurrency, 3);
  aggregate_options_free(&options);
}

static void each_aggregate_knows_its_own_options_alone(void **state) {
  struct aggregate_options options = {.text = NULL};
  struct failure failure;
  (void)state;
  assert_false(aggregate_options_read(&options, AGGREGATE_BATCH,
                                      text("{\"function\": \"f\", \"distinct\": true}"), &failure));
  assert_non_null(strstr(failure.text, "unknown option 'distinct'; known are batch_bytes, batch_rows, "));
  assert_true(aggregate_options_read(&options, AGGREGATE_BATCH,
                                     text("{\"function\": \"f\", \"contract\": \"bigquery\", \"batch_rows\": "
                                          "5, \"retry_service_errors\": true}"),
                                     &failure));
  assert_int_equal(options.contract, BATCH_BIGQUERY);
  assert_int_equal(options.batch_rows, 5);
  assert_true(options.retry_service_errors);
  aggregate_options_free(&options);
}

/* ---- gathered ---- */

static void fill(struct gathered *gathered, struct piece *piece, const char *json, enum gathering expected) {
  struct bytes bytes = {.data = NULL};
  assert_true(bytes_add(&bytes, json, strlen(json)));
  assert_int_equal(gathered_fill(gathered, piece, &bytes), expected);
}

static void expect_array(struct gathered *gathered, const char *expected) {
  struct slice array = {.data = NULL};
  for (int i = 0; i < 2; i++) {
    assert_int_equal(gathered_finish(gathered, &array), GATHERED);
    assert_int_equal(array.length, strlen(expected));
    assert_string_equal(array.data, expected);
  }
}

static void pieces_stand_in_the_order_of_their_places(void **state) {
  enum { COUNT = 200 };
  struct gathered gathered = {.most = 0};
  struct piece *pieces[COUNT];
  char expected[COUNT * 8] = "[";
  size_t used = 1;
  (void)state;
  for (int round = 0; round < 2; round++) {
    gathered_clear(&gathered, sizeof expected);
    for (int i = 0; i < COUNT; i++) {
      pieces[i] = piece_new((unsigned long long)i);
      assert_int_equal(gathered_add(&gathered, pieces[i], false, text("")), GATHERED);
    }
    for (int i = 0; i < COUNT; i++) { /* 7 and 200 have no common factor: each once */
      int which = i * 7 % COUNT;
      char json[16];
      (void)snprintf(json, sizeof json, "%d", which);
      fill(&gathered, pieces[which], json, GATHERED);
    }
    for (int i = 0; i < COUNT && round == 0; i++)
      used += (size_t)snprintf(expected + used, sizeof expected - used, "%s%d", i > 0 ? ", " : "", i);
    if (round == 0) (void)strcpy(expected + used, "]");
    expect_array(&gathered, expected);
    for (int i = 0; i < COUNT; i++) piece_leave(pieces[i]);
  }
  gathered_free(&gathered);
}

static void one_piece_can_have_many_places_and_keys_stay_with_theirs(void **state) {
  struct gathered gathered = {.most = 0};
  struct piece *piece = piece_new(1), *other = piece_new(2);
  (void)state;
  gathered_clear(&gathered, 1000);
  assert_int_equal(gathered_add(&gathered, piece, true, text("7")), GATHERED);
  assert_int_equal(gathered_add(&gathered, other, true, text("\"k\"")), GATHERED);
  assert_int_equal(gathered_add(&gathered, piece, true, text("null")), GATHERED);
  fill(&gathered, piece, "{}", GATHERED);
  assert_int_equal(gathered_add(&gathered, piece, false, text("")), GATHERED);
  fill(&gathered, other, "[]", GATHERED);
  expect_array(&gathered,
               "[{\"key\": 7, \"result\": {}}, {\"key\": \"k\", \"result\": []}, {\"key\": null, \"result\": "
               "{}}, {}]");
  piece_leave(piece);
  piece_leave(other);
  gathered_free(&gathered);
}

static void the_limit_is_exact_and_known_as_soon_as_it_is_certain(void **state) {
  (void)state;
  for (size_t most = 8; most <= 9; most++) {
    struct gathered gathered = {.most = 0};
    struct piece *first = piece_new(1), *second = piece_new(2);
    gathered_clear(&gathered, most);
    assert_int_equal(gathered_add(&gathered, first, false, text("")), GATHERED);
    assert_int_equal(gathered_add(&gathered, second, false, text("")), GATHERED);
    fill(&gathered, second, "1234", GATHERED);
    fill(&gathered, first, "1", most == 8 ? GATHERED_TOO_LONG : GATHERED);
    if (most == 9) expect_array(&gathered, "[1, 1234]");
    piece_leave(first);
    piece_leave(second);
    gathered_free(&gathered);
  }
}

static void places_alone_can_be_too_many(void **state) {
  struct gathered gathered = {.most = 0};
  struct piece *piece = piece_new(1);
  (void)state;
  gathered_clear(&gathered, 10);
  for (int i = 0; i < 5; i++) assert_int_equal(gathered_add(&gathered, piece, false, text("")), GATHERED);
  assert_int_equal(gathered_add(&gathered, piece, false, text("")), GATHERED_TOO_LONG);
  fill(&gathered, piece, "1", GATHERED_TOO_LONG);
  piece_leave(piece);
  gathered_free(&gathered);
}

static void no_places_are_an_empty_array(void **state) {
  struct gathered gathered = {.most = 0};
  (void)state;
  gathered_clear(&gathered, 2);
  expect_array(&gathered, "[]");
  gathered_free(&gathered);
}

/* ---- distinct ---- */

static int left;

static void leave(void *made) {
  left++;
  free(made);
}

static void equal_texts_are_found_again_and_others_are_not(void **state) {
  enum { COUNT = 3000 };
  struct distinct distinct = {.heads = NULL};
  char payload[16];
  (void)state;
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < COUNT; i++) {
      (void)snprintf(payload, sizeof payload, "%d", i);
      const struct slice parts[DISTINCT_PARTS] = {text("f"), [5] = text(payload)};
      void **made = distinct_find(&distinct, parts);
      assert_non_null(made);
      assert_true((*made == NULL) == (round == 0));
      if (round == 0) {
        *made = malloc(sizeof i);
        assert_non_null(*made);
        memcpy(*made, &i, sizeof i);
      } else {
        assert_int_equal(*(int *)*made, i);
      }
    }
  }
  left = 0;
  distinct_free(&distinct, leave);
  assert_int_equal(left, COUNT);
}

static void where_one_part_ends_counts(void **state) {
  struct distinct distinct = {.heads = NULL};
  static int one;
  (void)state;
  const struct slice first[DISTINCT_PARTS] = {text("ab"), text("c")};
  const struct slice second[DISTINCT_PARTS] = {text("a"), text("bc")};
  const struct slice third[DISTINCT_PARTS] = {text("abc")};
  *distinct_find(&distinct, first) = &one;
  assert_null(*distinct_find(&distinct, second));
  assert_null(*distinct_find(&distinct, third));
  assert_ptr_equal(*distinct_find(&distinct, first), &one);
  *distinct_find(&distinct, first) = NULL;
  distinct_free(&distinct, leave);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(members_of_an_object_are_read_in_order),
      cmocka_unit_test(what_is_no_json_says_where),
      cmocka_unit_test(other_values_are_no_object),
      cmocka_unit_test(depth_has_a_bound),
      cmocka_unit_test(whoever_takes_members_can_stop),
      cmocka_unit_test(a_name_is_the_function_alone),
      cmocka_unit_test(options_of_the_row_before_are_not_read_again),
      cmocka_unit_test(of_an_option_that_comes_twice_the_last_counts),
      cmocka_unit_test(each_aggregate_knows_its_own_options_alone),
      cmocka_unit_test(pieces_stand_in_the_order_of_their_places),
      cmocka_unit_test(one_piece_can_have_many_places_and_keys_stay_with_theirs),
      cmocka_unit_test(the_limit_is_exact_and_known_as_soon_as_it_is_certain),
      cmocka_unit_test(places_alone_can_be_too_many),
      cmocka_unit_test(no_places_are_an_empty_array),
      cmocka_unit_test(equal_texts_are_found_again_and_others_are_not),
      cmocka_unit_test(where_one_part_ends_counts),
  };
  return cmocka_run_group_tests_name("aggregate", tests, NULL, NULL);
}
