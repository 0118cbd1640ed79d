/* The settings in force for a statement, from system variables and the environment.
 * Must not know what they are used for. */
#include "settings.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "decimal.h"
#include "quotas.h"
#include "server.h"

#define SOCKET_DEFAULT "/run/lambda-sidecar/sidecar.sock"
/* More than a sidecar takes to restart. */
#define CONNECT_TIMEOUT_DEFAULT_MS 3000
#define RESULT_MAX_DEFAULT (64u * 1024 * 1024)
/* Room for a variable's text: a path a little too long must still be read to be named. */
#define VALUE_SIZE 512

const char *const settings_mode_names[] = {"invoke", "skip", "deny", NULL};
const char *const settings_function_error_names[] = {"error", "return", NULL};

static const struct {
  const char *variable, *in_environment;
  uint32_t built_in;
} concurrencies[CONCURRENCY_COUNT] = {
    [CONCURRENCY_MAP] = {"map_concurrency", "LAMBDA_UDF_MAP_CONCURRENCY", 100},
    [CONCURRENCY_BATCH] = {"batch_concurrency", "LAMBDA_UDF_BATCH_CONCURRENCY", 16},
};

static struct settings defaults;
static uint32_t concurrency_defaults[CONCURRENCY_COUNT];
static uint32_t result_max_default = RESULT_MAX_DEFAULT;
static struct failure wrong;
static pthread_once_t reading = PTHREAD_ONCE_INIT;

bool settings_socket_is_valid(const char *path) {
  return path[0] == '/' && path[1] != '\0' && strlen(path) < SETTINGS_SOCKET_SIZE;
}

static bool set_socket(char socket[SETTINGS_SOCKET_SIZE], const char *name, const char *path,
                       struct failure *failure) {
  if (!settings_socket_is_valid(path))
    return failure_set(failure, FAILURE_SERVER,
                       "%s is '%.120s': an absolute path of at most %d bytes is expected", name, path,
                       SETTINGS_SOCKET_SIZE - 1);
  memcpy(socket, path, strlen(path) + 1);
  return true;
}

static bool set_number(uint32_t *place, uint32_t max, const char *name, const char *text,
                       struct failure *failure) {
  uint64_t value = 0;
  if (!decimal_parse(text, strlen(text), &value) || value < 1 || value > max)
    return failure_set(failure, FAILURE_SERVER, "%s is '%.32s': a number from 1 to %u is expected", name,
                       text, max);
  *place = (uint32_t)value;
  return true;
}

static bool set_milliseconds(uint32_t *place, const char *name, const char *text, struct failure *failure) {
  return set_number(place, SETTINGS_TIMEOUT_MAX_MS, name, text, failure);
}

/* The number of a name, in any case; -1 for none of them. */
static int choice(const char *const *names, const char *text) {
  for (int i = 0; names[i] != NULL; i++)
    if (strcasecmp(names[i], text) == 0) return i;
  return -1;
}

static void read_concurrency_default(enum settings_concurrency which, const char *text) {
  concurrency_defaults[which] = concurrencies[which].built_in;
  if (text != NULL && *text != '\0')
    set_number(&concurrency_defaults[which], SETTINGS_CONCURRENCY_MAX, concurrencies[which].in_environment,
               text, &wrong);
}

static void read_defaults(void) {
  /* NOLINTBEGIN(concurrency-mt-unsafe): under pthread_once, and mysqld changes no variable */
  const char *path = getenv("LAMBDA_UDF_SOCKET");
  const char *timeout = getenv("LAMBDA_UDF_TIMEOUT_MS");
  const char *connect_timeout = getenv("LAMBDA_UDF_CONNECT_TIMEOUT_MS");
  const char *map_concurrency = getenv("LAMBDA_UDF_MAP_CONCURRENCY");
  const char *batch_concurrency = getenv("LAMBDA_UDF_BATCH_CONCURRENCY");
  const char *result_max = getenv("LAMBDA_UDF_RESULT_MAX_BYTES");
  /* NOLINTEND(concurrency-mt-unsafe) */
  memcpy(defaults.socket, SOCKET_DEFAULT, sizeof SOCKET_DEFAULT);
  defaults.timeout_ms = QUOTA_RUN_MAX_MS;
  defaults.connect_timeout_ms = CONNECT_TIMEOUT_DEFAULT_MS;
  if (path != NULL && *path != '\0') set_socket(defaults.socket, "LAMBDA_UDF_SOCKET", path, &wrong);
  if (timeout != NULL && *timeout != '\0')
    set_milliseconds(&defaults.timeout_ms, "LAMBDA_UDF_TIMEOUT_MS", timeout, &wrong);
  if (connect_timeout != NULL && *connect_timeout != '\0')
    set_milliseconds(&defaults.connect_timeout_ms, "LAMBDA_UDF_CONNECT_TIMEOUT_MS", connect_timeout, &wrong);
  read_concurrency_default(CONCURRENCY_MAP, map_concurrency);
  read_concurrency_default(CONCURRENCY_BATCH, batch_concurrency);
  if (result_max != NULL && *result_max != '\0')
    set_number(&result_max_default, SERVER_PACKET_MAX, "LAMBDA_UDF_RESULT_MAX_BYTES", result_max, &wrong);
}

const struct settings *settings_defaults(struct failure *failure) {
  pthread_once(&reading, read_defaults);
  if (wrong.kind == FAILURE_NONE) return &defaults;
  *failure = wrong;
  return NULL;
}

/* A variable that cannot be read might forbid the call: it never counts as the default. */
static bool read_text(MYSQL_THD session, const char *name, char text[VALUE_SIZE], struct failure *failure) {
  return server_variable(session, name, text, VALUE_SIZE) ||
         failure_set(failure, FAILURE_SERVER, "lambda_udf.%s cannot be read", name);
}

/* The smaller of the global and the session's. */
static bool read_least(MYSQL_THD session, const char *name, uint32_t max, uint32_t *place,
                       struct failure *failure) {
  char text[VALUE_SIZE];
  uint32_t everywhere = 0, here = 0;
  if (!read_text(NULL, name, text, failure) || !set_number(&everywhere, max, name, text, failure) ||
      !read_text(session, name, text, failure) || !set_number(&here, max, name, text, failure))
    return false;
  *place = everywhere < here ? everywhere : here;
  return true;
}

static bool read_milliseconds(MYSQL_THD session, const char *name, uint32_t *place, struct failure *failure) {
  return read_least(session, name, SETTINGS_TIMEOUT_MAX_MS, place, failure);
}

static bool read_choice(MYSQL_THD session, const char *name, const char *const *names, int *number,
                        struct failure *failure) {
  char text[VALUE_SIZE];
  if (!read_text(session, name, text, failure)) return false;
  *number = choice(names, text);
  if (*number >= 0) return true;
  failure_set(failure, FAILURE_SERVER, "lambda_udf.%s has no known value", name);
  return false;
}

bool settings_read_socket(bool variables, char socket[SETTINGS_SOCKET_SIZE], struct failure *failure) {
  const struct settings *built_in = settings_defaults(failure);
  if (built_in == NULL) return false;
  memcpy(socket, built_in->socket, SETTINGS_SOCKET_SIZE);
  char path[VALUE_SIZE];
  return !variables ||
         (read_text(NULL, "socket", path, failure) && set_socket(socket, "lambda_udf.socket", path, failure));
}

bool settings_read(MYSQL_THD session, bool variables, struct settings *settings, struct failure *failure) {
  const struct settings *built_in = settings_defaults(failure);
  if (built_in == NULL) return false;
  *settings = *built_in;
  if (!variables) return true;
  if (!settings_read_socket(variables, settings->socket, failure)) return false;
  if (!read_milliseconds(session, "timeout_ms", &settings->timeout_ms, failure) ||
      !read_milliseconds(session, "connect_timeout_ms", &settings->connect_timeout_ms, failure))
    return false;
  int everywhere = 0, here = 0, function_error = 0;
  if (!read_choice(NULL, "mode", settings_mode_names, &everywhere, failure) ||
      !read_choice(session, "mode", settings_mode_names, &here, failure) ||
      !read_choice(session, "function_error", settings_function_error_names, &function_error, failure))
    return false;
  settings->mode = (enum settings_mode)(everywhere > here ? everywhere : here);
  settings->function_error = (enum settings_function_error)function_error;
  return true;
}

uint32_t settings_concurrency_default(enum settings_concurrency which) {
  struct failure failure;
  return settings_defaults(&failure) == NULL ? 0 : concurrency_defaults[which];
}

bool settings_read_concurrency(MYSQL_THD session, bool variables, enum settings_concurrency which,
                               uint32_t *concurrency, struct failure *failure) {
  const char *name = concurrencies[which].variable;
  char text[VALUE_SIZE];
  if (settings_defaults(failure) == NULL) return false;
  *concurrency = concurrency_defaults[which];
  return !variables || (read_text(session, name, text, failure) &&
                        set_number(concurrency, SETTINGS_CONCURRENCY_MAX, name, text, failure));
}

uint32_t settings_result_max_default(void) {
  struct failure failure;
  return settings_defaults(&failure) == NULL ? 0 : result_max_default;
}

bool settings_read_result_max(MYSQL_THD session, bool variables, uint32_t *bytes, struct failure *failure) {
  if (settings_defaults(failure) == NULL) return false;
  *bytes = result_max_default;
  return !variables || read_least(session, "result_max_bytes", SERVER_PACKET_MAX, bytes, failure);
}
