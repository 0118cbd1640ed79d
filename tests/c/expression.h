/* SQL expressions as mysqld evaluates them into buffers, and how it hands their values to a loadable
 * function: String, Item_func_concat and udf_handler of sql/, as much of them as shows what goes wrong. */
#ifndef LAMBDA_UDF_TEST_EXPRESSION_H
#define LAMBDA_UDF_TEST_EXPRESSION_H

#include <stdbool.h>
#include <stddef.h>

#include "mysql_abi.h"

/* include/sql_string.h: class String */
struct string {
  char *bytes;
  size_t length;
  size_t room;
  bool owned; /* the bytes are freed with it; otherwise they are another's, or a constant */
};

/* CONCAT(prefix, text, id, suffix), with a column text that has growth letters more in each row than in the
 * one before, and none in the first. Or the literal prefix. */
struct expression {
  struct string prefix, suffix;
  bool computed;
  size_t growth;
  const char *collation;
  struct string text;  /* the column's value, in memory of its own */
  struct string value; /* Item_func_concat::tmp_value, which the value that it returns is */
};

/* One argument of a loadable function: udf_handler's buffers for it. */
struct handed {
  struct expression *expression;
  struct string buffer;    /* val_str()'s parameter, which the expression may use */
  struct string converted; /* 9.x only */
};

/* Evaluates the argument for row id and puts it into args, as the type that init has chosen demands.
 * copies: as 9.x does it; otherwise as 8.4 does. collation is the one that init has set. */
void hand_over(struct handed *handed, UDF_ARGS *args, unsigned int index, const char *collation, long id,
               bool copies);

void handed_free(struct handed *handed);

#endif
