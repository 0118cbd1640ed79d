/* performance_schema.lambda_udf_calls: the journal as a table, which exists while the component is installed.
 * Knows its columns; not who reads them: that is a matter of SELECT privileges on performance_schema. */
#ifndef LAMBDA_UDF_CALLS_TABLE_H
#define LAMBDA_UDF_CALLS_TABLE_H

#include <stdbool.h>

/* Creates the table. False: this server cannot have it, or refuses; the rest of the library does without. */
bool calls_table_add(void);

/* Drops it, after waiting (lock_wait_timeout, KILL) for whoever reads it, and for the end of a transaction
 * that has read it. Nothing is read from it afterwards. True as well where there is none. False: it could not
 * be dropped; the library must stay, and this can be tried again. */
bool calls_table_remove(void);

#endif
