/* The system variables lambda_udf.*.
 * Must not know what their values mean to a call; settings.c reads them. */
#include "sysvars.h"

#include <string.h>

#include "failure.h"
#include "server.h"
#include "settings.h"

#define COMPONENT "lambda_udf"
/* From 9.0 on a component's variable can have a session value. */
#define SESSION_VERSION 9

/* 1231 instead of a silent clamp. */
static int check_number(long long max, void *save, struct st_mysql_value *value) {
  long long number = 0;
  if (value->value_type(value) != MYSQL_VALUE_TYPE_INT || value->val_int(value, &number) != 0) return 1;
  if (number < 1 || number > max) return 1;
  *(unsigned long *)save = (unsigned long)number;
  return 0;
}

static int check_milliseconds(MYSQL_THD thd, SYS_VAR *var, void *save, struct st_mysql_value *value) {
  (void)thd, (void)var;
  return check_number(SETTINGS_TIMEOUT_MAX_MS, save, value);
}

static int check_concurrency(MYSQL_THD thd, SYS_VAR *var, void *save, struct st_mysql_value *value) {
  (void)thd, (void)var;
  return check_number(SETTINGS_CONCURRENCY_MAX, save, value);
}

static int check_result_max(MYSQL_THD thd, SYS_VAR *var, void *save, struct st_mysql_value *value) {
  (void)thd, (void)var;
  return check_number(SERVER_PACKET_MAX, save, value);
}

/* The server copies the text into memory of the statement unless it fits into our buffer, which
 * therefore must be too small for any path that is accepted (sql/sql_plugin_var.cc, item_val_str). */
static int check_socket(MYSQL_THD thd, SYS_VAR *var, void *save, struct st_mysql_value *value) {
  char tiny[2];
  int length = sizeof tiny;
  (void)thd, (void)var;
  const char *path = value->val_str(value, tiny, &length);
  if (path == NULL || path == tiny || !settings_socket_is_valid(path)) return 1;
  *(const char **)save = path;
  return 0;
}

/* Where the server keeps the global values; read through its services only. */
static char *socket_value;
static unsigned long timeout_value, connect_timeout_value, mode_value, function_error_value;
static unsigned long map_concurrency_value, batch_concurrency_value, result_max_value;

/* Each variable's type: defaults, limits, names. The server keeps pointers into it. */
static char socket_default[SETTINGS_SOCKET_SIZE];
static struct str_check_arg socket_arg = {.def_val = socket_default};
static struct ulong_check_arg timeout_arg = {.min_val = 1, .max_val = SETTINGS_TIMEOUT_MAX_MS};
static struct ulong_check_arg connect_timeout_arg = {.min_val = 1, .max_val = SETTINGS_TIMEOUT_MAX_MS};
static struct ulong_check_arg map_concurrency_arg = {.min_val = 1, .max_val = SETTINGS_CONCURRENCY_MAX};
static struct ulong_check_arg batch_concurrency_arg = {.min_val = 1, .max_val = SETTINGS_CONCURRENCY_MAX};
static struct ulong_check_arg result_max_arg = {.min_val = 1, .max_val = SERVER_PACKET_MAX};
static const char *mode_names[4], *function_error_names[3];
static struct TYPE_LIB modes, function_errors;
static struct enum_check_arg mode_arg = {.def_val = MODE_INVOKE, .typelib = &modes};
static struct enum_check_arg function_error_arg = {.def_val = FUNCTION_ERROR_ERROR,
                                                   .typelib = &function_errors};

static const char *const names[] = {
    "socket",         "timeout_ms",      "connect_timeout_ms", "mode",
    "function_error", "map_concurrency", "batch_concurrency",  "result_max_bytes"};
#define COUNT (sizeof names / sizeof names[0])

/* In the order of their names. */
static const struct {
  int flags;
  bool global_only; /* a string's session value crashes the server */
  const char *comment;
  mysql_sys_var_check_func check;
  void *arg, *value;
} variables[COUNT] = {
    {.flags = PLUGIN_VAR_STR | PLUGIN_VAR_MEMALLOC,
     .global_only = true,
     .comment = "The sidecar's Unix socket: an absolute path",
     .check = check_socket,
     .arg = &socket_arg,
     .value = &socket_value},
    {.flags = PLUGIN_VAR_LONG | PLUGIN_VAR_UNSIGNED,
     .comment = "Milliseconds that one call may take, connecting included",
     .check = check_milliseconds,
     .arg = &timeout_arg,
     .value = &timeout_value},
    {.flags = PLUGIN_VAR_LONG | PLUGIN_VAR_UNSIGNED,
     .comment = "Milliseconds for which connecting to the sidecar is tried again",
     .check = check_milliseconds,
     .arg = &connect_timeout_arg,
     .value = &connect_timeout_value},
    {.flags = PLUGIN_VAR_ENUM,
     .comment = "invoke; skip: return NULL with a warning; deny: fail",
     .arg = &mode_arg,
     .value = &mode_value},
    {.flags = PLUGIN_VAR_ENUM,
     .comment = "A function that raised: error, or return its error document",
     .arg = &function_error_arg,
     .value = &function_error_value},
    {.flags = PLUGIN_VAR_LONG | PLUGIN_VAR_UNSIGNED,
     .comment = "How many calls of one lambda_map are under way at once",
     .check = check_concurrency,
     .arg = &map_concurrency_arg,
     .value = &map_concurrency_value},
    {.flags = PLUGIN_VAR_LONG | PLUGIN_VAR_UNSIGNED,
     .comment = "How many batches of one lambda_batch are under way at once",
     .check = check_concurrency,
     .arg = &batch_concurrency_arg,
     .value = &batch_concurrency_value},
    {.flags = PLUGIN_VAR_LONG | PLUGIN_VAR_UNSIGNED,
     .comment = "Bytes of the longest result that lambda_invoke takes as a stream",
     .check = check_result_max,
     .arg = &result_max_arg,
     .value = &result_max_value},
};

/* TYPE_LIB wants names that it may change, as far as C can tell. */
static void fill_names(struct TYPE_LIB *library, const char *name, const char **to, const char *const *from) {
  size_t count = 0;
  for (; from[count] != NULL; count++) to[count] = from[count];
  to[count] = NULL;
  *library = (struct TYPE_LIB){.count = count, .name = name, .type_names = to};
}

static void fill_arguments(const struct settings *defaults) {
  fill_names(&modes, "lambda_udf_mode", mode_names, settings_mode_names);
  fill_names(&function_errors, "lambda_udf_function_error", function_error_names,
             settings_function_error_names);
  memcpy(socket_default, defaults->socket, sizeof socket_default);
  timeout_arg.def_val = defaults->timeout_ms;
  connect_timeout_arg.def_val = defaults->connect_timeout_ms;
  map_concurrency_arg.def_val = settings_concurrency_default(CONCURRENCY_MAP);
  batch_concurrency_arg.def_val = settings_concurrency_default(CONCURRENCY_BATCH);
  result_max_arg.def_val = settings_result_max_default();
}

/* The first count of them, the last first. */
static void unregister(const struct s_mysql_component_sys_variable_unregister *service, size_t count) {
  while (count-- > 0) (void)service->unregister_variable(COMPONENT, names[count]);
}

void sysvars_unregister(const struct s_mysql_component_sys_variable_unregister *service) {
  unregister(service, COUNT);
}

bool sysvars_register(const struct s_mysql_component_sys_variable_register *service,
                      const struct s_mysql_component_sys_variable_unregister *undo, struct failure *failure) {
  const struct settings *defaults = settings_defaults(failure);
  if (defaults == NULL) return false;
  fill_arguments(defaults);
  socket_value = NULL;
  int session = server_major_version() >= SESSION_VERSION ? PLUGIN_VAR_THDLOCAL : 0;
  for (size_t i = 0; i < COUNT; i++) {
    int flags = variables[i].flags | (variables[i].global_only ? 0 : session);
    if (service->register_variable(COMPONENT, names[i], flags, variables[i].comment, variables[i].check, NULL,
                                   variables[i].arg, variables[i].value) == 0)
      continue;
    failure_set(failure, FAILURE_SERVER, "the server refuses the system variable lambda_udf.%s", names[i]);
    unregister(undo, i);
    return false;
  }
  return true;
}
