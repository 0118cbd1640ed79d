/* What the aggregates have in common: rows come in groups, calls leave while they come, and the results are
 * one JSON array in the order of the rows. Knows a statement, options, flights and pieces; not how calls
 * travel. */
#ifndef LAMBDA_UDF_AGGREGATION_H
#define LAMBDA_UDF_AGGREGATION_H

#include <stdbool.h>
#include <stdint.h>

#include "aggregate_options.h"
#include "failure.h"
#include "flights.h"
#include "gathered.h"
#include "mysql_abi.h"
#include "statement.h"

struct aggregation;

/* The steps that an aggregate makes in its own way. Each false: the statement is to fail with *failure. */
struct aggregate_steps {
  /* A row for which a call may be made. */
  bool (*run_row)(struct aggregation *aggregation, const UDF_ARGS *args, struct failure *failure);
  /* A row for which none may (lambda_udf.mode = skip): its place holds null. */
  bool (*skip_row)(struct aggregation *aggregation, const UDF_ARGS *args, struct failure *failure);
  /* No more rows come in this group: calls that are owed begin. NULL: there are none. */
  bool (*end_rows)(struct aggregation *aggregation, struct failure *failure);
  /* The group that was is forgotten, or the statement has failed. NULL: nothing is known of one. */
  void (*forget_rows)(struct aggregation *aggregation);
  /* Writes the result of a good call. False: there is no memory. */
  bool (*write_result)(struct bytes *json, struct slice payload, const struct piece *piece);
  /* Writes what stands in place of a result; the document, if any, is what a function that raised gave. */
  bool (*write_error)(struct bytes *json, const struct failure *failure, struct slice document,
                      const struct piece *piece);
};

/* The first member of an aggregate's state: statement is the state's first. Zero but for statement. */
struct aggregation {
  struct statement statement;
  const struct aggregate_steps *steps;
  const UDF_INIT *adder;  /* who has added rows */
  struct flights flights; /* started with the first call */
  bool started;
  bool failed; /* and has been raised */
  struct gathered gathered;
  struct aggregate_options options; /* of the row */
  struct piece *null;               /* for all places that hold null */
  unsigned long long row;           /* of the group, from 1 */
};

/* The entry points. init: false, and then the steps are set. */
bool aggregation_init(const struct sql_function *function, const struct aggregate_steps *steps,
                      UDF_INIT *init, UDF_ARGS *args, char *message);
/* Ends all but the memory that the aggregate itself holds, which must be given back before. */
void aggregation_deinit(UDF_INIT *init);
void aggregation_clear(UDF_INIT *init, unsigned char *is_null, unsigned char *error);
void aggregation_add(UDF_INIT *init, UDF_ARGS *args, unsigned char *is_null, unsigned char *error);
char *aggregation_result(UDF_INIT *init, unsigned long *length, unsigned char *is_null, unsigned char *error);

/* A request as the options of the row say. statement_complete_request() does the rest. */
struct invoke_request aggregation_request(const struct aggregation *aggregation, struct slice payload);

/* Begins the call for a piece, which is in its place already. The options of the row count; piece.note says
 * from then on what becomes of a failure. */
bool aggregation_begin(struct aggregation *aggregation, struct invoke_request *request, struct piece *piece,
                       struct failure *failure);

/* A row, or some, that are refused before anybody is asked: fills the piece with the failure if the options
 * say so. False: the statement is to fail, and the failure names the rows. */
bool aggregation_refuse(struct aggregation *aggregation, struct piece *piece, struct failure *failure);

/* The next place is the piece's. keyed: key counts, as JSON. */
bool aggregation_put(struct aggregation *aggregation, struct piece *piece, bool keyed, struct slice key,
                     struct failure *failure);

/* A piece that is filled with null; the aggregation's. NULL: there is no memory, and *failure says so. */
struct piece *aggregation_null(struct aggregation *aggregation, struct failure *failure);

/* Both return false. */
bool aggregation_of_rows(unsigned long long first, unsigned long long rows, struct failure *failure);
bool aggregation_no_memory(struct failure *failure);

/* {"error": {"kind": …, "message": …; the document and the braces are the aggregate's to write. False: there
 * is no memory. */
bool aggregation_write_error(struct bytes *json, const struct failure *failure);

#endif
