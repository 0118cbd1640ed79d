/* Unit tests of udf/explain.c: what is EXPLAIN for certain, and what must never be taken for it.
 * Knows the header's contract only. */
#include "explain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h wants the five above first. */
#include <cmocka.h>

/* Of an exact copy, so that reading past it is seen. */
static bool explains(const char *text) {
  size_t length = strlen(text);
  char *copy = malloc(length > 0 ? length : 1);
  assert_non_null(copy);
  memcpy(copy, text, length);
  bool found = explain_only(copy, length);
  free(copy);
  return found;
}

static void statements_that_execute_nothing(void **state) {
  static const char *const texts[] = {
      "EXPLAIN SELECT 1",
      "explain select 1",
      "DESC SELECT 1",
      "Describe Update t SET a = 1",
      "  \t\r\n EXPLAIN\nSELECT 1",
      "EXPLAIN(SELECT 1)",
      "EXPLAIN FORMAT=TREE SELECT 1",
      "EXPLAIN FORMAT = 'json' INTO @v SELECT 1",
      "EXPLAIN FORMAT=JSON INTO @`analyze` FOR SCHEMA `select` DELETE FROM t",
      "EXPLAIN FORMAT=\"a\\\"b\" TABLE t",
      "EXPLAIN FORMAT=\"a\"\"b\" VALUES ROW(1)",
      "EXPLAIN WITH q AS (SELECT 1) SELECT * FROM q",
      "EXPLAIN INSERT INTO t VALUES (1)",
      "EXPLAIN REPLACE INTO t VALUES (1)",
      "-- a comment\nEXPLAIN SELECT 1",
      "--\nEXPLAIN SELECT 1",
      "#EXPLAIN ANALYZE\nEXPLAIN SELECT 1",
      "/* ; ' \" */EXPLAIN/**/SELECT 1",
      "/*! EXPLAIN */ SELECT 1",
      "/*!EXPLAIN SELECT 1 */",
      "EXPLAIN /* ANALYZE */ SELECT 1",
      "EXPLAIN SELECT ANALYZE",
  };
  (void)state;
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
    if (!explains(texts[i])) fail_msg("not taken for EXPLAIN: %s", texts[i]);
}

static void statements_that_run(void **state) {
  static const char *const texts[] = {
      "",
      " ",
      "SELECT 1",
      "SELECT 'EXPLAIN SELECT 1'",
      "/* EXPLAIN */ SELECT 1",
      "-- EXPLAIN\nSELECT 1",
      "# EXPLAIN SELECT\nSELECT 1",
      "EXPLAIN ANALYZE SELECT 1",
      "explain analyze format=tree select 1",
      "EXPLAIN/**/ANALYZE/**/SELECT 1",
      "EXPLAIN FORMAT=TREE ANALYZE SELECT 1",
      "EXPLAIN /*! ANALYZE */ SELECT 1",
      "EXPLAIN /*!80018 ANALYZE */ SELECT 1",
      "EXPLAIN FORMAT=TREE /*!99999 INTO @v */ SELECT 1",
      "/*!99999 EXPLAIN */ SELECT 1",
      "/*!99999 EXPLAIN SELECT 1 */",
      "/*!080000 EXPLAIN */ SELECT 1",
      "EXPLAINED SELECT 1",
      "EXPLAIN_SELECT 1",
      "EXPLAIN$ SELECT 1",
      "\xc3\xa4"
      "EXPLAIN SELECT 1",
      "`EXPLAIN` SELECT 1",
      "'EXPLAIN' SELECT 1",
      "@EXPLAIN SELECT 1",
      "CALL EXPLAIN()",
      "EXECUTE s",
      "EXPLAIN",
      "EXPLAIN t",
      "DESC t a",
      "EXPLAIN FOR CONNECTION 5",
      "EXPLAIN FORMAT=",
      "EXPLAIN FORMAT='SELECT",
      "EXPLAIN /* SELECT 1",
      "/* EXPLAIN SELECT 1",
      "-",
      "--",
      "/",
      "*",
      "/*",
      "/*!",
      "'",
      "EXPLAIN '\\",
  };
  (void)state;
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
    if (explains(texts[i])) fail_msg("taken for EXPLAIN: %s", texts[i]);
}

static void a_long_comment_hides_nothing(void **state) {
  enum { COMMENT = 1 << 20 };
  static char text[COMMENT + 64];
  (void)state;
  memset(text, 'x', COMMENT);
  memcpy(text, "/*", 2);
  memcpy(text + COMMENT, "*/ EXPLAIN SELECT 1", 20);
  assert_true(explains(text));
  memcpy(text + COMMENT, "*/ EXPLAIN ANALYZE SELECT 1", 28);
  assert_false(explains(text));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(statements_that_execute_nothing),
      cmocka_unit_test(statements_that_run),
      cmocka_unit_test(a_long_comment_hides_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
