/* Rules about the server's own expressions; each says what goes wrong without it.
 * Must not need the arguments' values. */
#include "arguments.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "server.h"

#define UTF8MB4 "utf8mb4"
/* A collation's name and a NUL (include/m_ctype.h: MY_CS_NAME_SIZE 32, 64 from 8.0.29 on). */
#define COLLATION_SIZE 64

typedef bool (*argument_is)(const UDF_ARGS *args, unsigned int index);

/* In init the server gives the values of constants alone. */
static bool is_constant(const UDF_ARGS *args, unsigned int index) { return args->args[index] != NULL; }

/* Text in quotation marks, or a parameter of a prepared statement: an argument's attribute is its source. */
static bool is_literal(const UDF_ARGS *args, unsigned int index) {
  if (!is_constant(args, index)) return false;
  const char *source = args->attributes[index];
  unsigned long length = args->attribute_lengths[index];
  if (source == NULL || length == 0) return false;
  return *source == '\'' || *source == '"' || (*source == '?' && length == 1);
}

static bool is_utf8mb4(const char *collation) {
  return strncmp(collation, UTF8MB4 "_", sizeof UTF8MB4 "_" - 1) == 0;
}

/* The collation of the first argument that is such a one and utf8mb4; NULL if there is none. */
static const char *collation_of(UDF_ARGS *args, argument_is such) {
  for (unsigned int i = 0; i < args->arg_count; i++) {
    const char *name = such(args, i) ? server_argument(args, i, "collation") : "";
    if (is_utf8mb4(name)) return name;
  }
  return NULL;
}

/* Of arguments that are not constant the last counts: a payload is mostly put together from literals, while a
 * name that comes from a column has that column's collation. */
static const char *collation_of_last(UDF_ARGS *args) {
  for (unsigned int i = args->arg_count; i-- > 0;) {
    const char *name = server_argument(args, i, "collation");
    if (is_utf8mb4(name)) return name;
  }
  return NULL;
}

/* A result is as coercible as a literal: beside one with another utf8mb4 collation it is error 1267. The
 * literals among the arguments have the collation of those around the call, in a view too, which keeps the
 * one that it was created with. Without any it is the session's. Where none of these is utf8mb4 the default
 * mixes with literals of every character set. */
static bool settle_result(UDF_INIT *init, UDF_ARGS *args, MYSQL_THD session) {
  char of_session[COLLATION_SIZE];
  const char *name = collation_of(args, is_literal);
  if (name == NULL && server_is_8()) {
    name = collation_of(args, is_constant);
    if (name == NULL) name = collation_of_last(args);
  } else if (name == NULL && server_collation(session, of_session, sizeof of_session) &&
             is_utf8mb4(of_session)) {
    name = of_session;
  }
  return name == NULL ? server_set_result(init, "charset", UTF8MB4)
                      : server_set_result(init, "collation", name);
}

/* Whether an argument's bytes are UTF-8 as they are. Early 8.0 says utf8 for utf8mb3. */
static bool is_utf8(UDF_ARGS *args, unsigned int index) {
  static const char *const charsets[] = {UTF8MB4, "utf8mb3", "utf8", "ascii"};
  const char *charset = server_argument(args, index, "charset");
  for (size_t i = 0; i < sizeof charsets / sizeof charsets[0]; i++)
    if (strcmp(charset, charsets[i]) == 0) return true;
  return false;
}

/* For STRING_RESULT, 8.0 and 8.4 make their buffer an alias of the argument's own result (sql/item_func.cc:
 * udf_handler::get_and_convert_string): from the second row on CONCAT and others write into what they read,
 * be it freed. For DECIMAL_RESULT they hand a string over as it is (get_string). 9.x copy a STRING_RESULT,
 * which is better still: an argument's evaluation may free what the one before it gave. The server looks at
 * the first argument's type, whichever is set (error 3951): so that one comes last. */
static bool settle_arguments(UDF_ARGS *args) {
  bool aliases = server_is_8();
  for (unsigned int i = 0; i < args->arg_count; i++) args->arg_type[i] = STRING_RESULT;
  for (unsigned int i = args->arg_count; i-- > 0;) {
    if (aliases && is_utf8(args, i))
      args->arg_type[i] = DECIMAL_RESULT;
    else if (!server_set_argument(args, i, "charset", UTF8MB4))
      return false;
  }
  return true;
}

bool arguments_settle(UDF_INIT *init, UDF_ARGS *args, MYSQL_THD session) {
  /* In this order: an argument's own collation is gone once it is converted. */
  return settle_result(init, args, session) && settle_arguments(args);
}

void arguments_know_types(UDF_ARGS *args, unsigned int first, struct value_type *types) {
  for (unsigned int i = first; i < args->arg_count; i++)
    types[i] = value_type_of(args, i, server_argument(args, i, "collation"));
}

/* On 8.x also binary strings and digits are taken as settle_arguments() takes text that needs no conversion:
 * they need none either. */
void arguments_settle_types(UDF_ARGS *args, unsigned int first, const struct value_type *types) {
  bool aliases = server_is_8();
  for (unsigned int i = first; i < args->arg_count; i++) {
    enum value_kind kind = types[i].kind;
    enum Item_result asked = value_asked_as(kind);
    if (asked != STRING_RESULT)
      args->arg_type[i] = asked;
    else if (aliases && (kind == VALUE_BINARY || kind == VALUE_DIGITS))
      args->arg_type[i] = DECIMAL_RESULT;
  }
}
