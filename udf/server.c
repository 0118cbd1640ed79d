/* mysqld's component services, acquired once through its registry, and the functions that it exports.
 * The only file that calls the server, but for what INSTALL COMPONENT hands to component.c. */
#include "server.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include "decimal.h"

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
  SERVICE(mysql_system_variable_reader);
  SERVICE(mysql_runtime_warning);
  SERVICE(mysql_query_attributes_iterator);
  SERVICE(mysql_query_attribute_string);
  SERVICE(mysql_query_attribute_isnull);
  SERVICE(pfs_plugin_table_v1);
  SERVICE(pfs_plugin_column_bigint_v1);
  SERVICE(pfs_plugin_column_string_v2);
  SERVICE(pfs_plugin_column_timestamp_v2);
} services;

/* Exported functions of mysqld that are no services. NULL: this server lacks it. */
static struct {
  int (*killed)(const void *thd);
  unsigned long (*thread_id)(const void *thd);
  int (*vio_type)(const void *thd);
  int (*fd)(void *thd);
  MYSQL_LEX_CSTRING (*query)(MYSQL_THD thd);
  int (*command)(const void *thd);
  long long (*options)(const void *thd, long long options);
} functions;

#ifdef LAMBDA_UDF_HIDDEN_SERVICES
/* Builds of the tests: as if the server lacked what this list names (a,b,c). */
static const char hidden[] = "," LAMBDA_UDF_HIDDEN_SERVICES ",";
static bool offered(const char *name) {
  for (const char *at = hidden; (at = strstr(at, name)) != NULL; at++)
    if (at[-1] == ',' && at[strlen(name)] == ',') return false;
  return true;
}
#else
#define offered(name) true
#endif

static pthread_mutex_t attaching = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool attached;

/* The services that are asked for, in the order in which they are acquired. Without one that is not optional
 * no statement with one of the functions begins (error 1123 names it), and INSTALL COMPONENT fails.
 * docs/configuration.md has this table, with look_for_functions()'s, for operators. */
static const struct {
  const char *name;
  const void *place;
  bool optional;
} wanted[] = {
    {.name = "mysql_runtime_error", .place = &services.mysql_runtime_error},
    {.name = "mysql_udf_metadata", .place = &services.mysql_udf_metadata},
    {.name = "mysql_current_thread_reader", .place = &services.mysql_current_thread_reader},
    {.name = "mysql_thd_security_context", .place = &services.mysql_thd_security_context},
    {.name = "mysql_security_context_options", .place = &services.mysql_security_context_options},
    {.name = "mysql_thd_attributes", .place = &services.mysql_thd_attributes},
    {.name = "mysql_string_factory", .place = &services.mysql_string_factory},
    {.name = "mysql_string_converter", .place = &services.mysql_string_converter},
    {.name = "global_grants_check", .place = &services.global_grants_check},
    {.name = "component_sys_variable_register", .place = &services.component_sys_variable_register},
    /* 8.0 and 8.4 lack it. Without: variables have their global value alone, a result's collation comes from
     * the arguments alone, and arguments are asked for as those servers need it (server_is_8). */
    {.name = "mysql_system_variable_reader",
     .place = &services.mysql_system_variable_reader,
     .optional = true},
    /* 8.0 and 8.4 lack it. Without: calls that are left out (mode skip, EXPLAIN) give no warning. */
    {.name = "mysql_runtime_warning", .place = &services.mysql_runtime_warning, .optional = true},
    /* 8.0 has them from 8.0.23 on. Without one of the three: no call has a trace. */
    {.name = "mysql_query_attributes_iterator",
     .place = &services.mysql_query_attributes_iterator,
     .optional = true},
    {.name = "mysql_query_attribute_string",
     .place = &services.mysql_query_attribute_string,
     .optional = true},
    {.name = "mysql_query_attribute_isnull",
     .place = &services.mysql_query_attribute_isnull,
     .optional = true},
    /* 8.0 has the last one from 8.0.17 on. Without one of the four: performance_schema.lambda_udf_calls is
     * not there. */
    {.name = "pfs_plugin_table_v1", .place = &services.pfs_plugin_table_v1, .optional = true},
    {.name = "pfs_plugin_column_bigint_v1", .place = &services.pfs_plugin_column_bigint_v1, .optional = true},
    {.name = "pfs_plugin_column_string_v2", .place = &services.pfs_plugin_column_string_v2, .optional = true},
    {.name = "pfs_plugin_column_timestamp_v2",
     .place = &services.pfs_plugin_column_timestamp_v2,
     .optional = true},
};
#define WANTED (sizeof wanted / sizeof wanted[0])

/* The rest of the table above: functions, and an attribute of mysql_thd_attributes. */
static void look_for_functions(void) {
  /* Every server so far has them. Without: where "thd_status" is absent too, no KILL, max_execution_time or
   * shutdown ends a call, but lambda_udf.timeout_ms does, and KILL CONNECTION as the end of the client. */
  if (offered("thd_killed")) functions.killed = thd_killed;
  /* Without: pseudo_thread_id says the connection's number; 0 without mysql_system_variable_reader too. */
  if (offered("thd_get_thread_id")) functions.thread_id = thd_get_thread_id;
  /* Without either: a client that goes away does not end its call. */
  if (offered("thd_get_vio_type")) functions.vio_type = thd_get_vio_type;
  if (offered("thd_get_fd")) functions.fd = thd_get_fd;
  /* Without either: EXPLAIN invokes where the optimizer evaluates. */
  if (offered("thd_query_unsafe")) functions.query = thd_query_unsafe;
  if (offered("thd_sql_command")) functions.command = thd_sql_command;
  /* Without: there is no performance_schema.lambda_udf_calls (can_remove_tables). */
  if (offered("thd_test_options")) functions.options = thd_test_options;
}

/* 8.0 lacks the attribute "thd_status". Without: thd_killed(). */
static bool has_status(MYSQL_THD session, uint16_t *status) {
  return offered("thd_status") && services.mysql_thd_attributes->get(session, "thd_status", status) == 0;
}

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
  look_for_functions();
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
  MYSQL_LEX_CSTRING value = {.str = NULL};
  if (services.mysql_security_context_options->get(context, name, &value) != 0) return false;
  copy_text(to, size, value.str, value.length);
  return true;
}

/* Copies a string of the server's, cut to fit, and gives it back; empty if the server cannot convert it. */
static void take_string(my_h_string string, char *to, size_t size) {
  if (services.mysql_string_converter->convert_to_buffer(string, to, size, "utf8mb4") != 0) to[0] = '\0';
  to[size - 1] = '\0';
  services.mysql_string_factory->destroy(string);
}

/* The session's default schema; left empty if the server does not say. */
static void read_schema(MYSQL_THD session, char *to, size_t size) {
  my_h_string schema = NULL;
  to[0] = '\0';
  if (services.mysql_thd_attributes->get(session, "schema", &schema) != 0 || schema == NULL) return;
  take_string(schema, to, size);
}

static bool knows_query_attributes(void) {
  return services.mysql_query_attributes_iterator != NULL && services.mysql_query_attribute_string != NULL &&
         services.mysql_query_attribute_isnull != NULL;
}

bool server_query_attribute(MYSQL_THD session, const char *name, char *text, size_t size) {
  mysqlh_query_attributes_iterator found = NULL;
  my_h_string value = NULL;
  bool is_null = true;
  text[0] = '\0';
  if (!knows_query_attributes() ||
      services.mysql_query_attributes_iterator->create(session, name, &found) != 0)
    return false;
  /* The value of one that is NULL is none. */
  if (services.mysql_query_attribute_isnull->get(found, &is_null) == 0 && !is_null &&
      services.mysql_query_attribute_string->get(found, &value) == 0 && value != NULL)
    take_string(value, text, size);
  services.mysql_query_attributes_iterator->release(found);
  return text[0] != '\0';
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
  if (functions.query == NULL || session == NULL) return (MYSQL_LEX_CSTRING){.str = NULL};
  return functions.query(session);
}

bool server_evaluates_statement(MYSQL_THD session) {
  if (functions.command == NULL || session == NULL) return false;
  switch (functions.command(session)) {
    case SQLCOM_SELECT:
    case SQLCOM_INSERT:
    case SQLCOM_INSERT_SELECT:
    case SQLCOM_REPLACE:
    case SQLCOM_REPLACE_SELECT:
    case SQLCOM_UPDATE:
    case SQLCOM_UPDATE_MULTI:
    case SQLCOM_DELETE:
    case SQLCOM_DELETE_MULTI:
      return true;
    default:
      return false;
  }
}

bool server_evaluates_expression(MYSQL_THD session) {
  if (functions.command == NULL || session == NULL) return false;
  int command = functions.command(session);
  return command == SQLCOM_SET_OPTION || command >= SQLCOM_WITHOUT_SUBQUERY;
}

size_t server_max_packet(MYSQL_THD session) {
  char digits[32];
  uint64_t bytes = 0;
  if (!read_variable(session, "mysql_server", "max_allowed_packet", digits, sizeof digits) ||
      !decimal_parse(digits, strlen(digits), &bytes) || bytes == 0)
    return SERVER_PACKET_MAX;
  return (size_t)bytes;
}

unsigned long server_major_version(void) {
  char version[64];
  uint64_t major = 0;
  if (!read_variable(NULL, "mysql_server", "version", version, sizeof version)) return 0;
  return decimal_parse(version, strspn(version, "0123456789"), &major) ? (unsigned long)major : 0;
}

/* There is no service for CONNECTION_ID(); pseudo_thread_id starts as it, and only a session with
 * SESSION_VARIABLES_ADMIN can change its own (refman: pseudo_thread_id). */
static uint64_t read_connection_id(MYSQL_THD session) {
  char digits[32];
  uint64_t id = 0;
  if (functions.thread_id != NULL) return functions.thread_id(session);
  if (!read_variable(session, "mysql_server", "pseudo_thread_id", digits, sizeof digits)) return 0;
  return decimal_parse(digits, strlen(digits), &id) ? id : 0;
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

/* A value that is none of the three that are known is a KILL all the same. */
static enum server_interrupt killed_state(MYSQL_THD session) {
  int killed = functions.killed != NULL && session != NULL ? functions.killed(session) : 0;
  if (killed == 0) return SERVER_RUNS;
  return killed == ER_QUERY_TIMEOUT ? SERVER_QUERY_TIME : SERVER_KILLED;
}

enum server_interrupt server_interrupt(MYSQL_THD session) {
  uint16_t status = STATUS_SESSION_OK;
  if (!has_status(session, &status)) return killed_state(session);
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

int server_client_fd(MYSQL_THD session) {
  if (session == NULL || functions.vio_type == NULL || functions.fd == NULL) return -1;
  switch (functions.vio_type(session)) {
    case VIO_TYPE_TCPIP:
    case VIO_TYPE_SOCKET:
    case VIO_TYPE_SSL:
      return functions.fd(session);
    default:
      return -1;
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

/* Whether a table can be removed again without harm. 8.x removes it, and so may wait for a reader, with the
 * registry of services locked (source of 8.0.44 and 8.4.8): every statement that acquires one would wait too.
 * Nor where LOCK TABLES is not seen (may_have_open). */
static bool can_remove_tables(void) { return !server_is_8() && functions.options != NULL; }

bool server_add_table(struct PFS_engine_table_share_proxy *share) {
  return can_remove_tables() && services.pfs_plugin_table_v1 != NULL &&
         services.pfs_plugin_column_bigint_v1 != NULL && services.pfs_plugin_column_string_v2 != NULL &&
         services.pfs_plugin_column_timestamp_v2 != NULL &&
         services.pfs_plugin_table_v1->add_tables != NULL &&
         services.pfs_plugin_table_v1->add_tables(&share, 1) == 0;
}

/* The lock that removing a table takes does not part a session from itself. Under LOCK TABLES a view has the
 * table open, and UNLOCK TABLES crashes if the table is gone by then (tried on 9.7.4). */
static bool may_have_open(MYSQL_THD session) {
  return session != NULL && functions.options(session, OPTION_TABLE_LOCK) != 0;
}

bool server_remove_table(struct PFS_engine_table_share_proxy *share) {
  if (may_have_open(server_session())) {
    server_raise(ER_LOCK_OR_ACTIVE_TRANSACTION, 0);
    return false;
  }
  return services.pfs_plugin_table_v1->delete_tables(&share, 1) == 0;
}

void server_set_number(PSI_field *field, uint64_t number) {
  services.pfs_plugin_column_bigint_v1->set_unsigned(field, (struct PSI_ulonglong){.val = number});
}

void server_set_text(PSI_field *field, const char *text) {
  services.pfs_plugin_column_string_v2->set_varchar_utf8mb4(field, text);
}

void server_set_time(PSI_field *field, uint64_t microseconds) {
  services.pfs_plugin_column_timestamp_v2->set2(field, microseconds);
}

void server_report(const char *text) {
  static const char component[] = "lambda_udf", log_service[] = "mysql_simple_error_log";
  if (mysql_plugin_registry_acquire == NULL || mysql_plugin_registry_release == NULL) return;
  const struct s_mysql_registry *registry = mysql_plugin_registry_acquire();
  my_h_service found = NULL;
  /* For this moment alone; early 8.0 lacks it. Without: the error log does not have the text. */
  if (registry != NULL && offered(log_service) && registry->acquire(log_service, &found) == 0) {
    const struct s_mysql_mysql_simple_error_log *log = (const void *)found;
    (void)log->emit(component, __FILE__, __LINE__, MYSQL_ERROR_LOG_SEVERITY_ERROR, ER_LOG_PRINTF_MSG, text);
    registry->release(found);
  }
  if (registry != NULL) mysql_plugin_registry_release(registry);
  if (atomic_load_explicit(&attached, memory_order_acquire) && server_session() != NULL)
    server_raise(ER_UDF_ERROR, 0, component, text);
}
