/* INSTALL COMPONENT 'file://lambda_udf': the privilege, the system variables and the status variables.
 * The functions work without it, for SUPER alone. */
#ifndef LAMBDA_UDF_COMPONENT_H
#define LAMBDA_UDF_COMPONENT_H

#include <stdbool.h>

/* The dynamic privilege that lets an account invoke. */
#define COMPONENT_PRIVILEGE "INVOKE_LAMBDA"

/* Whether the component is installed now. Grants outlive UNINSTALL COMPONENT; without the component
 * they do not count. Safe from any thread. */
bool component_is_installed(void);

#endif
