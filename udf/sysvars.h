/* The component's system variables, lambda_udf.*: their registration and what SET may say.
 * settings.[ch] reads them; knows nothing of calls. */
#ifndef LAMBDA_UDF_SYSVARS_H
#define LAMBDA_UDF_SYSVARS_H

#include <stdbool.h>

#include "failure.h"
#include "mysql_abi.h"

/* Registers all of them, or none. False: failure says which the server refused, or which default is wrong.
 * server_attach() comes first. */
bool sysvars_register(const struct s_mysql_component_sys_variable_register *service,
                      const struct s_mysql_component_sys_variable_unregister *undo, struct failure *failure);

/* Takes all of them back. */
void sysvars_unregister(const struct s_mysql_component_sys_variable_unregister *service);

#endif
