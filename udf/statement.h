/* One SQL function in one statement, from init to deinit: who calls, under which settings, whether a row may
 * invoke, and how its failure reaches the user. Knows what is the same for every function; not how a call
 * travels, nor how many a statement makes. */
#ifndef LAMBDA_UDF_STATEMENT_H
#define LAMBDA_UDF_STATEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "contract.h"
#include "counters.h"
#include "failure.h"
#include "mysql_abi.h"
#include "server.h"
#include "settings.h"
#include "traceparent.h"
#include "value.h"

/* A SQL function, the same in all of its statements. */
struct sql_function {
  const char *name;
  const char *usage; /* completes "name" in the error for a wrong number of arguments */
  unsigned int arguments_min, arguments_max;
  size_t
      state_size; /* of what lives from init to deinit: a struct whose first member is a struct statement */
  enum invocation_type type;
  unsigned long payload_max;
  const char *payload_kind; /* what Lambda takes that much for */
  unsigned long result_max;
  enum counter calls;
  enum settings_concurrency concurrency; /* which variable rules it */
  bool streams;                          /* its answer may come in parts */
  bool raises; /* a function that raised fails the statement, unless lambda_udf.function_error = return */
  unsigned int values; /* the first argument that may be of any type, to be written as JSON; 0: none is */
};

struct statement {
  const struct sql_function *function;
  MYSQL_THD session;
  struct server_account account;
  uint32_t component;       /* component_generation() when the statement began */
  struct settings settings; /* valid from the first row that runs on; the same for all rows */
  uint32_t concurrency; /* as settings: how many calls may be under way at once, if the options do not say */
  uint32_t result_max;  /* as settings: bytes of a result that comes in parts; 0: none does */
  bool settings_known;
  char traceparent[TRACEPARENT_SIZE]; /* of what invokes, read with the settings; empty: it has no trace */
  struct value_type *types;           /* by argument, from function->values on; NULL if that is 0 */
  bool begun;                         /* the first row has been evaluated */
  bool explained;                     /* once begun: the statement is EXPLAIN and nothing is executed */
  bool warned;                        /* of calls that are left out: once is enough */
};

/* For an init function: checks the number of arguments and the server, settles the arguments, and puts
 * state_size bytes, zero but for the statement, into init->ptr. Invokes nothing and refuses no account: that
 * would break CREATE VIEW, CHECK TABLE and mysqldump. True: refused, as message (MYSQL_ERRMSG_SIZE) says. */
bool statement_start(const struct sql_function *function, UDF_INIT *init, UDF_ARGS *args, char *message);

/* For a deinit function: frees init->ptr, whose other members no longer need anything. */
void statement_end(UDF_INIT *init);

enum statement_row {
  ROW_RUNS,     /* it may invoke, and then statement_leave() must follow */
  ROW_LEFT_OUT, /* EXPLAIN or lambda_udf.mode = skip: its result is NULL, and the warning has been given */
  ROW_FAILED    /* *failure says why */
};

/* Each row begins with it: it counts, the settings are read at the first, and lambda_udf.mode is followed.
 * While a row runs the component cannot go. */
enum statement_row statement_enter(struct statement *statement, struct failure *failure);
void statement_leave(void);

/* The same for a function that invokes nothing: it counts for nothing, and no mode leaves it out. */
enum statement_row statement_enter_ping(struct statement *statement, struct failure *failure);

/* The same for an aggregate's result, which counts for nothing: ROW_LEFT_OUT is EXPLAIN alone. */
enum statement_row statement_enter_result(struct statement *statement, struct failure *failure);

/* A row's argument: data is NULL where it is NULL, or was left out. */
struct slice statement_argument(const UDF_ARGS *args, unsigned int index);

/* The privilege. False: *failure says that it is missing. */
bool statement_may_invoke(const struct statement *statement, struct failure *failure);

/* Completes a request in which function, payload and options are what SQL gave (data NULL: NULL, or no such
 * argument), after everything that can be refused without asking anyone, the account's privilege first.
 * False: *failure says why. */
bool statement_complete_request(const struct statement *statement, struct invoke_request *request,
                                struct failure *failure);

/* Whether the function raised, and so *failure has its words. */
bool statement_raised(const struct invoke_result *result, struct failure *failure);

/* Whether a result may be the row's. False: the function raised, and that is to fail the statement; *failure
 * has its words. */
bool statement_accepts(const struct statement *statement, const struct invoke_result *result,
                       struct failure *failure);

/* Fails the statement: counts the failure, raises it and sets *error, which fail it together and not alone.
 * The text ends with the id of the statement's trace, if it has one. */
void statement_fail(const struct statement *statement, const struct failure *failure, unsigned char *error);

#endif
