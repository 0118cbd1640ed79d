/* mysqld's component services, acquired once through its registry.
 * The only file that calls the server. */
#include "server.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SERVICE(type) const struct s_mysql_##type *type

static struct {
  const struct s_mysql_registry *registry;
  SERVICE(mysql_runtime_error);
  SERVICE(mysql_udf_metadata);
  SERVICE(mysql_current_thread_reader);
  SERVICE(mysql_thd_security_context);
  SERVICE(mysql_security_context_options);
  SERVICE(mysql_thd_attributes);
  SERVICE(mysql_string_factory);
  SERVICE(mysql_string_converter);
  SERVICE(global_grants_check);
  SERVICE(component_sys_variable_register);
  SERVICE(mysql_system_variable_reader); /* optional: 8.0 lacks it */
  SERVICE(mysql_runtime_warning);        /* optional: 8.x lack it */
} services;

#ifdef LAMBDA_UDF_HIDDEN_SERVICES
/* Builds of the tests: as if the server lacked what this list names (a,b,c). */
static const char hidden[] = "," LAMBDA_UDF_HIDDEN_SERVICES ",";
static bool offered(const char *name) {
  const char *found = strstr(hidden, name);
  return found == NULL || found[-1] != ',' || found[strlen(name)] != ',';
}
#else
#define offered(name) true
#endif

static pthread_mutex_t attaching = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool attached;

/* The name of each service and where its pointer goes, in the order in which they are acquired. */
static const struct {
  const char *name;
  const void *place;
  bool optional;
} wanted[] = {
    {"mysql_runtime_error", &services.mysql_runtime_error, false},
    {"mysql_udf_metadata", &services.mysql_udf_metadata, false},
    {"mysql_current_thread_reader", &services.mysql_current_thread_reader, false},
    {"mysql_thd_security_context", &services.mysql_thd_security_context, false},
    {"mysql_security_context_options", &services.mysql_security_context_options, false},
    {"mysql_thd_attributes", &services.mysql_thd_attributes, false},
    {"mysql_string_factory", &services.mysql_string_factory, false},
    {"mysql_string_converter", &services.mysql_string_converter, false},
    {"global_grants_check", &services.global_grants_check, false},
    {"component_sys_variable_register", &services.component_sys_variable_register, false},
    {"mysql_system_variable_reader", &services.mysql_system_variable_reader, true},
    {"mysql_runtime_warning", &services.mysql_runtime_warning, true},
};
#define WANTED (sizeof wanted / sizeof wanted[0])

/* Pointers to services are all of one size and form; memcpy moves them without breaking aliasing. */
static void detach(void) {
  if (services.registry == NULL) return;
  for (size_t i = WANTED; i-- > 0;) {
    my_h_service service;
    memcpy(&service, wanted[i].place, sizeof service);
    if (service != NULL) services.registry->release(service);
  }
  mysql_plugin_registry_release(services.registry);
  memset(&services, 0, sizeof services);
}

static bool attach(const char **missing) {
  if (mysql_plugin_registry_acquire == NULL || mysql_plugin_registry_release == NULL) {
    *missing = "mysql_plugin_registry_acquire";
    return false;
  }
  services.registry = mysql_plugin_registry_acquire();
  if (services.registry == NULL) {
    *missing = "the service registry";
    return false;
  }
  for (size_t i = 0; i < WANTED; i++) {
    my_h_service service = NULL;
    if (!offered(wanted[i].name) || services.registry->acquire(wanted[i].name, &service) != 0) {
      if (wanted[i].optional) continue;
      *missing = wanted[i].name;
      detach();
      return false;
    }
    memcpy((void *)(uintptr_t)wanted[i].place, &service, sizeof service);
  }
  return true;
}

bool server_attach(const char **missing) {
  if (atomic_load_explicit(&attached, memory_order_acquire)) return true;
  pthread_mutex_lock(&attaching);
  bool done = atomic_load_explicit(&attached, memory_order_relaxed) || attach(missing);
  if (done) atomic_store_explicit(&attached, true, memory_order_release);
  pthread_mutex_unlock(&attaching);
  return done;
}

/* A service that is still held when the server stops is logged as MY-010065. */
__attribute__((destructor)) static void server_detach(void) {
  if (atomic_exchange(&attached, false)) detach();
}

bool server_is_8(void) { return services.mysql_system_variable_reader == NULL; }

const char *server_argument(UDF_ARGS *args, unsigned int index, const char *what) {
  void *text = NULL;
  if (services.mysql_udf_metadata->argument_get(args, what, index, &text) != 0 || text == NULL) return "";
  return text;
}

bool server_set_argument(UDF_ARGS *args, unsigned int index, const char *what, const char *name) {
  return services.mysql_udf_metadata->argument_set(args, what, index, (void *)(uintptr_t)name) == 0;
}

bool server_set_result(UDF_INIT *init, const char *what, const char *name) {
  return services.mysql_udf_metadata->result_set(init, what, (void *)(uintptr_t)name) == 0;
}

MYSQL_THD server_session(void) {
  MYSQL_THD session = NULL;
  if (services.mysql_current_thread_reader->get(&session) != 0) return NULL;
  return session;
}

static void copy_text(char *to, size_t size, const char *from, size_t length) {
  if (from == NULL) length = 0;
  if (length >= size) length = size - 1;
  if (length > 0) memcpy(to, from, length);
  to[length] = '\0';
}

static bool context_text(Security_context_handle context, const char *name, char *to, size_t size) {
  MYSQL_LEX_CSTRING value = {NULL, 0};
  if (services.mysql_security_context_options->get(context, name, &value) != 0) return false;
  copy_text(to, size, value.str, value.length);
  return true;
}

/* The session's default schema; left empty if the server does not tell. */
static void read_schema(MYSQL_THD session, char *to, size_t size) {
  my_h_string schema = NULL;
  to[0] = '\0';
  if (services.mysql_thd_attributes->get(session, "schema", &schema) != 0 || schema == NULL) return;
  if (services.mysql_string_converter->convert_to_buffer(schema, to, size, "utf8mb4") != 0) to[0] = '\0';
  to[size - 1] = '\0';
  services.mysql_string_factory->destroy(schema);
}

/* The value as text, copied under the server's lock. */
static bool read_variable(MYSQL_THD session, const char *component, const char *name, char *text,
                          size_t size) {
  void *value = text;
  size_t length = size - 1;
  int failed;
  if (session != NULL && services.mysql_system_variable_reader != NULL)
    failed = services.mysql_system_variable_reader->get(session, "SESSION", component, name, &value, &length);
  else
    failed = services.component_sys_variable_register->get_variable(component, name, &value, &length);
  if (failed != 0 || length >= size) return false;
  if (value != text) memcpy(text, value, length);
  text[length] = '\0';
  return true;
}

bool server_variable(MYSQL_THD session, const char *name, char *text, size_t size) {
  return read_variable(session, "lambda_udf", name, text, size);
}

bool server_collation(MYSQL_THD session, char *text, size_t size) {
  return !server_is_8() && read_variable(session, "mysql_server", "collation_connection", text, size);
}

MYSQL_LEX_CSTRING server_statement_text(MYSQL_THD session) {
  if (!offered("thd_query_unsafe") || thd_query_unsafe == NULL || session == NULL)
    return (MYSQL_LEX_CSTRING){NULL, 0};
  return thd_query_unsafe(session);
}

unsigned long server_major_version(void) {
  char version[64];
  if (!read_variable(NULL, "mysql_server", "version", version, sizeof version)) return 0;
  return strtoul(version, NULL, 10);
}

/* There is no service for CONNECTION_ID(); pseudo_thread_id starts as it, and only a session with
 * SESSION_VARIABLES_ADMIN can change its own (refman: pseudo_thread_id). */
static uint64_t read_connection_id(MYSQL_THD session) {
  char digits[32];
  if (!read_variable(session, "mysql_server", "pseudo_thread_id", digits, sizeof digits)) return 0;
  return strtoull(digits, NULL, 10);
}

bool server_account(MYSQL_THD session, const char *privilege, struct server_account *account) {
  Security_context_handle context = NULL;
  bool super = false;
  memset(account, 0, sizeof *account);
  if (session == NULL || services.mysql_thd_security_context->get(session, &context) != 0 || context == NULL)
    return false;
  if (!context_text(context, "priv_user", account->user, sizeof account->user) ||
      !context_text(context, "priv_host", account->host, sizeof account->host))
    return false;
  if (services.mysql_security_context_options->get(context, "privilege_super", &super) != 0) return false;
  account->may_invoke = super || (privilege != NULL && services.global_grants_check->has_global_grant(
                                                           context, privilege, strlen(privilege)) != 0);
  read_schema(session, account->schema, sizeof account->schema);
  account->connection_id = read_connection_id(session);
  return true;
}

enum server_interrupt server_interrupt(MYSQL_THD session) {
  uint16_t status = STATUS_SESSION_OK;
  if (services.mysql_thd_attributes->get(session, "thd_status", &status) != 0) return SERVER_RUNS;
  switch (status) {
    case STATUS_SESSION_KILLED:
    case STATUS_QUERY_KILLED:
      return SERVER_KILLED;
    case STATUS_QUERY_TIMEOUT:
      return SERVER_QUERY_TIME;
    default:
      return SERVER_RUNS;
  }
}

void server_raise(int error_id, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  services.mysql_runtime_error->emit(error_id, flags, arguments);
  va_end(arguments);
}

void server_warn(MYSQL_THD session, const char *function, const char *text) {
  if (services.mysql_runtime_warning != NULL)
    services.mysql_runtime_warning->emit(session, ER_UDF_ERROR, function, text);
}
