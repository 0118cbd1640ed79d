/* The symbols that the library exports: what CREATE FUNCTION … SONAME and INSTALL COMPONENT look up
 * by name, and nothing else. Shapes: include/mysql/udf_registration_types.h, refman "Adding a Loadable
 * Function". */
#ifndef LAMBDA_UDF_EXPORTS_H
#define LAMBDA_UDF_EXPORTS_H

#include <stdbool.h>

#include "mysql_abi.h"

#define ENTRY_POINT __attribute__((visibility("default")))

/* init: true refuses the statement with error 1123 and message. Opens no socket, invokes nothing.
 * function: one invocation per row; NULL with *error = 1 after an error was raised, NULL alone where the row
 * was left out (EXPLAIN, lambda_udf.mode = skip). The result stays valid until the next row or deinit. */
#define STRING_FUNCTION(name)                                                                 \
  ENTRY_POINT bool name##_init(UDF_INIT *init, UDF_ARGS *args, char *message);                \
  ENTRY_POINT void name##_deinit(UDF_INIT *init);                                             \
  ENTRY_POINT char *name(UDF_INIT *init, UDF_ARGS *args, char *result, unsigned long *length, \
                         unsigned char *is_null, unsigned char *error)

STRING_FUNCTION(lambda_sync);
STRING_FUNCTION(lambda_async);
STRING_FUNCTION(lambda_invoke);
STRING_FUNCTION(lambda_ping);
STRING_FUNCTION(lambda_execution);
STRING_FUNCTION(lambda_callback);
STRING_FUNCTION(lambda_callback_failure);

/* An aggregate. clear comes before the rows of each group, add with each row, function once after them, also
 * where there was no row. A failure of a row is raised in add with *error = 1, which ends the statement at
 * once: raised alone, the other rows would still run; set alone, the client would wait for ever. */
#define AGGREGATE_FUNCTION(name)                                                               \
  STRING_FUNCTION(name);                                                                       \
  ENTRY_POINT void name##_clear(UDF_INIT *init, unsigned char *is_null, unsigned char *error); \
  ENTRY_POINT void name##_add(UDF_INIT *init, UDF_ARGS *args, unsigned char *is_null, unsigned char *error)

AGGREGATE_FUNCTION(lambda_map);
AGGREGATE_FUNCTION(lambda_batch);

/* lambda_outbox_hint(), RETURNS INTEGER: 1 if a hint has left, else 0; never NULL, never an error. Nothing
 * lives from init to the end of the statement, and so there is no deinit. */
ENTRY_POINT bool lambda_outbox_hint_init(UDF_INIT *init, UDF_ARGS *args, char *message);
ENTRY_POINT long long lambda_outbox_hint(UDF_INIT *init, UDF_ARGS *args, unsigned char *is_null,
                                         unsigned char *error);

/* INSTALL COMPONENT looks this up (include/mysql/components/component_implementation.h). */
ENTRY_POINT struct mysql_component_t *list_components(void);

#endif
