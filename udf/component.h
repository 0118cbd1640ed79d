/* INSTALL COMPONENT 'file://lambda_udf': the privilege, the system variables and the status variables.
 * The functions work without it, for SUPER alone. */
#ifndef LAMBDA_UDF_COMPONENT_H
#define LAMBDA_UDF_COMPONENT_H

#include <stdbool.h>
#include <stdint.h>

/* The dynamic privilege that lets an account invoke. */
#define COMPONENT_PRIVILEGE "INVOKE_LAMBDA"

/* Which installation of the component a statement that begins now finds: 0 for none, and for one that is
 * about to leave; another number for each INSTALL COMPONENT. Grants outlive UNINSTALL COMPONENT; without the
 * component they do not count. Safe from any thread, as the two below. */
uint32_t component_generation(void);

/* To be called before each row that may invoke, with what component_generation() gave when its statement
 * began. True: until component_leave() the component can neither go nor come; *variables: its system
 * variables are there, and so they must be readable. False: the component that the statement began with is
 * gone, and nothing may be invoked by what it allowed. A statement that began without one goes on; the
 * variables of one that came before its first row rule it. */
bool component_enter(uint32_t generation, bool *variables);
void component_leave(void);

#endif
