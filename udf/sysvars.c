/* The system variables lambda_udf.*.
 * Must not know what their values mean to a call. */
#include "sysvars.h"

#include <string.h>

#include "failure.h"
#include "server.h"
#include "settings.h"

#define COMPONENT "lambda_udf"
/* From 9.0 on a component's variable can have a session value. */
#define SESSION_VERSION 9

/* Where the server keeps the global values; read through its services only. */
static char *socket_value;
static unsigned long timeout_value, connect_timeout_value, mode_value, function_error_value;

static const char *mode_names[4], *function_error_names[3];
static struct TYPE_LIB modes, function_errors;

static const char *const names[] = {"socket", "timeout_ms", "connect_timeout_ms", "mode", "function_error"};
#define COUNT (sizeof names / sizeof names[0])

/* 1231 instead of a silent clamp. */
static int check_milliseconds(MYSQL_THD thd, SYS_VAR *var, void *save, struct st_mysql_value *value) {
  long long number = 0;
  (void)thd, (void)var;
  if (value->value_type(value) != MYSQL_VALUE_TYPE_INT || value->val_int(value, &number) != 0) return 1;
  if (number < 1 || number > SETTINGS_TIMEOUT_MAX_MS) return 1;
  *(unsigned long *)save = (unsigned long)number;
  return 0;
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

/* TYPE_LIB wants names that it may change, as far as C can tell. */
static void fill_names(struct TYPE_LIB *library, const char *name, const char **to, const char *const *from) {
  size_t count = 0;
  for (; from[count] != NULL; count++) to[count] = from[count];
  to[count] = NULL;
  *library = (struct TYPE_LIB){count, name, to, NULL};
}

void sysvars_unregister(const struct s_mysql_component_sys_variable_unregister *service) {
  for (size_t i = COUNT; i-- > 0;) (void)service->unregister_variable(COMPONENT, names[i]);
}

bool sysvars_register(const struct s_mysql_component_sys_variable_register *service,
                      const struct s_mysql_component_sys_variable_unregister *undo, struct failure *failure) {
  const struct settings *defaults = settings_defaults(failure);
  if (defaults == NULL) return false;
  fill_names(&modes, "lambda_udf_mode", mode_names, settings_mode_names);
  fill_names(&function_errors, "lambda_udf_function_error", function_error_names,
             settings_function_error_names);
  socket_value = NULL;

  int session = server_major_version() >= SESSION_VERSION ? PLUGIN_VAR_THDLOCAL : 0;
  int number = PLUGIN_VAR_LONG | PLUGIN_VAR_UNSIGNED | session;
  static char socket_default[SETTINGS_SOCKET_SIZE];
  memcpy(socket_default, defaults->socket, sizeof socket_default);
  struct str_check_arg socket_arg = {socket_default};
  struct ulong_check_arg timeout_arg = {defaults->timeout_ms, 1, SETTINGS_TIMEOUT_MAX_MS, 0};
  struct ulong_check_arg connect_arg = {defaults->connect_timeout_ms, 1, SETTINGS_TIMEOUT_MAX_MS, 0};
  struct enum_check_arg mode_arg = {MODE_INVOKE, &modes};
  struct enum_check_arg function_error_arg = {FUNCTION_ERROR_ERROR, &function_errors};
  const struct {
    int flags;
    const char *comment;
    mysql_sys_var_check_func check;
    void *arg, *value;
  } variables[COUNT] = {
      {PLUGIN_VAR_STR | PLUGIN_VAR_MEMALLOC, "The sidecar's Unix socket: an absolute path", check_socket,
       &socket_arg, &socket_value},
      {number, "Milliseconds that one call may take, connecting included", check_milliseconds, &timeout_arg,
       &timeout_value},
      {number, "Milliseconds for which connecting to the sidecar is tried again", check_milliseconds,
       &connect_arg, &connect_timeout_value},
      {PLUGIN_VAR_ENUM | session, "invoke; skip: return NULL with a warning; deny: fail", NULL, &mode_arg,
       &mode_value},
      {PLUGIN_VAR_ENUM | session, "A function that raised: error, or return its error document", NULL,
       &function_error_arg, &function_error_value},
  };
  for (size_t i = 0; i < COUNT; i++) {
    if (service->register_variable(COMPONENT, names[i], variables[i].flags, variables[i].comment,
                                   variables[i].check, NULL, variables[i].arg, variables[i].value) != 0) {
      failure_set(failure, FAILURE_SERVER, "the server refuses the system variable lambda_udf.%s", names[i]);
      while (i-- > 0) (void)undo->unregister_variable(COMPONENT, names[i]);
      return false;
    }
  }
  return true;
}
