/* The settings of the library, and their values in force for a statement: those of the component's system
 * variables, or without the component those of mysqld's environment. Knows nothing of their use. */
#ifndef LAMBDA_UDF_SETTINGS_H
#define LAMBDA_UDF_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "failure.h"
#include "mysql_abi.h"

/* struct sockaddr_un holds 108 bytes with the NUL (unix(7)). */
#define SETTINGS_SOCKET_SIZE 108
/* One day: longer than any call, and far from overflowing what counts in milliseconds. */
#define SETTINGS_TIMEOUT_MAX_MS 86400000u

/* lambda_udf.mode, from the freest to the strictest. */
enum settings_mode { MODE_INVOKE = 0, MODE_SKIP, MODE_DENY };
/* lambda_udf.function_error: what becomes of a function that raised. */
enum settings_function_error { FUNCTION_ERROR_ERROR = 0, FUNCTION_ERROR_RETURN };

/* The names of the two enumerations' values, by number; each list ends with NULL. */
extern const char *const settings_mode_names[];
extern const char *const settings_function_error_names[];

struct settings {
  char socket[SETTINGS_SOCKET_SIZE]; /* where the sidecar listens: an absolute path */
  uint32_t timeout_ms;               /* the whole call, connecting included */
  uint32_t connect_timeout_ms;       /* connecting is tried again for so long */
  enum settings_mode mode;
  enum settings_function_error function_error;
};

/* Of the aggregates: how many calls of one statement are under way at once. */
#define SETTINGS_CONCURRENCY_MAX 1000u
enum settings_concurrency { CONCURRENCY_NONE = 0, CONCURRENCY_MAP, CONCURRENCY_BATCH, CONCURRENCY_COUNT };

/* Whether a socket's path can be meant: absolute, and short enough. */
bool settings_socket_is_valid(const char *path);

/* The values where no variable says otherwise: from the environment of mysqld (LAMBDA_UDF_SOCKET,
 * LAMBDA_UDF_TIMEOUT_MS, LAMBDA_UDF_CONNECT_TIMEOUT_MS), read once, or built in. NULL, and failure says
 * which value is wrong. The pointer stays valid until the library is unloaded. Safe from any thread. */
const struct settings *settings_defaults(struct failure *failure);

/* Fills settings with what is in force for the session's statement. variables: the component is installed,
 * and then each of its variables must be readable. The mode and the times are the stricter of the global and
 * the session's, so that a session cannot free itself of what the server's operator has set; function_error
 * is a matter of taste, and the session's alone. False: failure says which value is wrong. */
bool settings_read(MYSQL_THD session, bool variables, struct settings *settings, struct failure *failure);

/* How many calls are under way at once where the options do not say: lambda_udf.map_concurrency or
 * lambda_udf.batch_concurrency, a matter of taste as function_error; else LAMBDA_UDF_MAP_CONCURRENCY or
 * LAMBDA_UDF_BATCH_CONCURRENCY. Apart from settings_read(), which every statement needs. */
bool settings_read_concurrency(MYSQL_THD session, bool variables, enum settings_concurrency which,
                               uint32_t *concurrency, struct failure *failure);

/* The built-in value of it, or the environment's; 0 if a value there is wrong. */
uint32_t settings_concurrency_default(enum settings_concurrency which);

/* Bytes of the longest result that comes in parts: lambda_udf.result_max_bytes, the smaller of the global and
 * the session's; else LAMBDA_UDF_RESULT_MAX_BYTES. Apart as the one before. */
bool settings_read_result_max(MYSQL_THD session, bool variables, uint32_t *bytes, struct failure *failure);

/* The built-in value of it, or the environment's; 0 if a value there is wrong. */
uint32_t settings_result_max_default(void);

/* The sidecar's socket alone, as settings_read() says of variables. */
bool settings_read_socket(bool variables, char socket[SETTINGS_SOCKET_SIZE], struct failure *failure);

#endif
