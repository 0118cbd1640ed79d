/* The arguments and the result of a SQL function, as its init function settles them with the server: how
 * strings are handed over, their character set and collation. Knows SQL expressions; nothing of what the
 * strings mean. */
#ifndef LAMBDA_UDF_ARGUMENTS_H
#define LAMBDA_UDF_ARGUMENTS_H

#include <stdbool.h>

#include "mysql_abi.h"
#include "value.h"

/* Makes every argument arrive as UTF-8 text, and the result leave as utf8mb4 with the collation that literals
 * around the call have. args->args must hold the constants still, as the server hands them to init. False if
 * the server refuses. */
bool arguments_settle(UDF_INIT *init, UDF_ARGS *args, MYSQL_THD session);

/* Finds the types of the arguments from first on, each in its place of types, which has room for all. Before
 * arguments_settle(). */
void arguments_know_types(UDF_ARGS *args, unsigned int first, struct value_type *types);

/* After arguments_settle(): makes these arguments arrive as value_write() wants them. The first argument of
 * all, which is text, cannot be among them. */
void arguments_settle_types(UDF_ARGS *args, unsigned int first, const struct value_type *types);

#endif
