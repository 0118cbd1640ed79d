/* Stands in for mysqld: what the library acquires is counted, what it raises is kept.
 * Aborts where mysqld would crash: an unknown service handle, an error with other arguments. */
#include "fake_mysqld.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REMOVED_SIZE 64

static _Thread_local struct fake_session *current;
static atomic_int held;
static char removed[REMOVED_SIZE];

static void crash(const char *why) {
  (void)fprintf(stderr, "fake mysqld: %s\n", why);
  abort();
}

void fake_session_start(struct fake_session *session) {
  memset(session, 0, sizeof *session);
  session->status = STATUS_SESSION_OK;
  session->super = true;
  current = session;
}

void fake_registry_remove(const char *service) { (void)snprintf(removed, sizeof removed, "%s", service); }

bool fake_registry_has(const char *service) { return strcmp(removed, service) != 0; }

int fake_held(void) { return atomic_load(&held); }

/* ---- the services ---- */

static void emit(int error_id, int flags, va_list arguments) {
  int strings = 0;
  switch (error_id) { /* how many strings each format wants */
    case ER_QUERY_INTERRUPTED:
    case ER_QUERY_TIMEOUT:
      break;
    case ER_SPECIFIC_ACCESS_DENIED_ERROR:
      strings = 1;
      break;
    case ER_UDF_ERROR:
      strings = 2;
      break;
    default:
      crash("an error of unknown format was raised");
  }
  size_t used = 0;
  current->raised_text[0] = '\0';
  for (int i = 0; i < strings && used < RAISED_TEXT_SIZE; i++)
    used += (size_t)snprintf(current->raised_text + used, RAISED_TEXT_SIZE - used, i > 0 ? "|%s" : "%s",
                             va_arg(arguments, const char *));
  current->raised = error_id;
  current->raised_flags = flags;
  current->times_raised++;
}

/* As in 8.0: the type of the first argument is what counts, whichever is set. */
static int argument_set(UDF_ARGS *args, const char *extension_type, unsigned int index, void *in_value) {
  struct fake_arguments *arguments = args->extension;
  if (index >= args->arg_count) crash("the character set of no argument");
  if (strcmp(extension_type, "charset") != 0 || args->arg_type[0] != STRING_RESULT) return 1;
  if (strcmp(in_value, "utf8mb4") != 0) return 1;
  arguments->collation[index] = "utf8mb4_0900_ai_ci";
  return 0;
}

static int argument_get(UDF_ARGS *args, const char *extension_type, unsigned int index, void **out_value) {
  static _Thread_local char charset[REMOVED_SIZE];
  const struct fake_arguments *arguments = args->extension;
  if (index >= args->arg_count) crash("the character set of no argument");
  const char *collation = arguments->collation[index];
  if (strcmp(extension_type, "charset") == 0) {
    (void)snprintf(charset, sizeof charset, "%.*s", (int)strcspn(collation, "_"), collation);
    *out_value = charset;
  } else {
    *out_value = (void *)(uintptr_t)collation;
  }
  return 0;
}

static int result_set(UDF_INIT *init, const char *extension_type, void *in_value) {
  (void)init;
  if (strcmp(extension_type, "collation") == 0) return strncmp(in_value, "utf8mb4_", 8) != 0;
  return strcmp(extension_type, "charset") != 0 || strcmp(in_value, "utf8mb4") != 0;
}

static int current_thread(MYSQL_THD *thd) {
  *thd = current;
  return current == NULL;
}

static int context_of(MYSQL_THD thd, Security_context_handle *out_ctx) {
  if (thd == NULL) crash("the security context of no session");
  *out_ctx = (Security_context_handle)thd;
  return ((struct fake_session *)thd)->lost;
}

static int context_option(Security_context_handle ctx, const char *name, void *inout_pvalue) {
  const struct fake_session *session = (const struct fake_session *)ctx;
  if (strcmp(name, "privilege_super") == 0) {
    *(bool *)inout_pvalue = session->super;
    return 0;
  }
  MYSQL_LEX_CSTRING *text = inout_pvalue;
  if (strcmp(name, "priv_user") == 0)
    *text = (MYSQL_LEX_CSTRING){.str = "app", .length = 3};
  else if (strcmp(name, "priv_host") == 0)
    *text = (MYSQL_LEX_CSTRING){.str = "%", .length = 1};
  else
    return 1;
  return 0;
}

/* A string of the server's, which must be destroyed. */
static my_h_string new_string(const char *text) {
  void *string = strdup(text);
  if (string == NULL) crash("no memory");
  atomic_fetch_add(&held, 1);
  return string;
}

static int attribute(MYSQL_THD thd, const char *name, void *inout_pvalue) {
  struct fake_session *session = thd;
  if (strcmp(name, removed) == 0) return 1;
  if (strcmp(name, "thd_status") == 0) {
    *(uint16_t *)inout_pvalue = atomic_load(&session->status);
    return 0;
  }
  if (strcmp(name, "schema") != 0) return 1;
  *(my_h_string *)inout_pvalue = new_string("shop");
  return 0;
}

/* ---- the exported functions ---- */

int thd_killed(const void *thd) {
  switch (atomic_load(&((const struct fake_session *)thd)->status)) {
    case STATUS_SESSION_OK:
      return 0;
    case STATUS_SESSION_KILLED:
      return ER_SERVER_SHUTDOWN;
    case STATUS_QUERY_KILLED:
      return ER_QUERY_INTERRUPTED;
    default:
      return ER_QUERY_TIMEOUT;
  }
}

unsigned long thd_get_thread_id(const void *thd) {
  if (thd == NULL) crash("the connection's number of no session");
  return 4711;
}

int thd_get_vio_type(const void *thd) { return ((const struct fake_session *)thd)->vio_type; }

int thd_get_fd(void *thd) {
  const struct fake_session *session = thd;
  if (session->vio_type != VIO_TYPE_TCPIP && session->vio_type != VIO_TYPE_SOCKET &&
      session->vio_type != VIO_TYPE_SSL)
    crash("the socket of a session without one");
  return session->client;
}

static void destroy(my_h_string string) {
  free(string);
  atomic_fetch_sub(&held, 1);
}

static int convert_to_buffer(my_h_string in_string, char *out_buffer, uint64_t length,
                             const char *charset_name) {
  if (in_string == NULL || length == 0 || strcmp(charset_name, "utf8mb4") != 0) return 1;
  (void)snprintf(out_buffer, length, "%s", (const char *)in_string);
  return 0;
}

static int find_attribute(MYSQL_THD thd, const char *name, mysqlh_query_attributes_iterator *out_iterator) {
  struct fake_session *session = thd == NULL ? current : thd;
  if (session->traceparent == NULL || strcmp(name, "traceparent") != 0) return 1;
  atomic_fetch_add(&held, 1);
  *out_iterator = (mysqlh_query_attributes_iterator)session;
  return 0;
}

static void release_attribute(mysqlh_query_attributes_iterator iterator) {
  if (iterator == NULL) crash("no iterator was released");
  atomic_fetch_sub(&held, 1);
}

static int attribute_is_null(mysqlh_query_attributes_iterator iterator, bool *out_null) {
  *out_null = ((const struct fake_session *)iterator)->traceparent[0] == '\0';
  return 0;
}

/* As mysqld: no text for a value of some types. */
static int attribute_text(mysqlh_query_attributes_iterator iterator, my_h_string *out_string_value) {
  const char *text = ((const struct fake_session *)iterator)->traceparent;
  if (text[0] == '\0') crash("the value of an attribute that is NULL was read");
  *out_string_value = strcmp(text, "untyped") == 0 ? NULL : new_string(text);
  return 0;
}

static int variable(MYSQL_THD thd, const char *variable_type, const char *component_name,
                    const char *variable_name, void **val, size_t *out_length_of_val) {
  const char *value = "4711";
  (void)thd;
  if (strcmp(variable_name, "collation_connection") == 0) value = "utf8mb4_0900_ai_ci";
  size_t length = strlen(value);
  if (strcmp(variable_type, "SESSION") != 0 || strcmp(component_name, "mysql_server") != 0 ||
      (*value == '4' && strcmp(variable_name, "pseudo_thread_id") != 0) || *out_length_of_val <= length)
    return 1;
  memcpy(*val, value, length + 1);
  *out_length_of_val = length;
  return 0;
}

static int has_global_grant(Security_context_handle ctx, const char *name, size_t length) {
  (void)ctx, (void)name, (void)length;
  return 0;
}

static int get_variable(const char *component_name, const char *name, void **val, size_t *out_length_of_val) {
  (void)component_name, (void)name, (void)val, (void)out_length_of_val;
  return 1;
}

/* ---- the registry ---- */

static const struct s_mysql_mysql_runtime_error runtime_error = {.emit = emit};
static const struct s_mysql_mysql_udf_metadata udf_metadata = {
    .argument_get = argument_get, .argument_set = argument_set, .result_set = result_set};
static const struct s_mysql_mysql_current_thread_reader thread_reader = {.get = current_thread};
static const struct s_mysql_mysql_thd_security_context thd_security_context = {.get = context_of};
static const struct s_mysql_mysql_security_context_options context_options = {.get = context_option};
static const struct s_mysql_mysql_thd_attributes thd_attributes = {.get = attribute};
static const struct s_mysql_mysql_string_factory string_factory = {.destroy = destroy};
static const struct s_mysql_mysql_string_converter string_converter = {.convert_to_buffer =
                                                                           convert_to_buffer};
static const struct s_mysql_mysql_query_attributes_iterator attributes_iterator = {
    .create = find_attribute, .release = release_attribute};
static const struct s_mysql_mysql_query_attribute_string attribute_string = {.get = attribute_text};
static const struct s_mysql_mysql_query_attribute_isnull attribute_isnull = {.get = attribute_is_null};
static const struct s_mysql_mysql_system_variable_reader variable_reader = {.get = variable};
static const struct s_mysql_global_grants_check global_grants = {.has_global_grant = has_global_grant};
static const struct s_mysql_component_sys_variable_register sys_variables = {.get_variable = get_variable};

static struct {
  const char *name;
  const void *service;
  atomic_int held;
} offered[] = {
    {.name = "mysql_runtime_error", .service = &runtime_error},
    {.name = "mysql_udf_metadata", .service = &udf_metadata},
    {.name = "mysql_current_thread_reader", .service = &thread_reader},
    {.name = "mysql_thd_security_context", .service = &thd_security_context},
    {.name = "mysql_security_context_options", .service = &context_options},
    {.name = "mysql_thd_attributes", .service = &thd_attributes},
    {.name = "mysql_string_factory", .service = &string_factory},
    {.name = "mysql_string_converter", .service = &string_converter},
    {.name = "mysql_query_attributes_iterator", .service = &attributes_iterator},
    {.name = "mysql_query_attribute_string", .service = &attribute_string},
    {.name = "mysql_query_attribute_isnull", .service = &attribute_isnull},
    {.name = "mysql_system_variable_reader", .service = &variable_reader},
    {.name = "global_grants_check", .service = &global_grants},
    {.name = "component_sys_variable_register", .service = &sys_variables},
};
#define OFFERED (sizeof offered / sizeof offered[0])

static int acquire(const char *service_name, my_h_service *out_service) {
  for (size_t i = 0; i < OFFERED; i++) {
    if (strcmp(offered[i].name, service_name) != 0 || strcmp(removed, service_name) == 0) continue;
    memcpy(out_service, &offered[i].service, sizeof *out_service);
    atomic_fetch_add(&offered[i].held, 1);
    atomic_fetch_add(&held, 1);
    return 0;
  }
  return 1;
}

static int release(my_h_service service) {
  for (size_t i = 0; i < OFFERED; i++) {
    if (memcmp(&service, &offered[i].service, sizeof service) != 0) continue;
    if (atomic_fetch_sub(&offered[i].held, 1) <= 0) crash("a service was released twice");
    atomic_fetch_sub(&held, 1);
    return 0;
  }
  crash("something was released that is no service");
  return 1;
}

static const struct s_mysql_registry registry = {.acquire = acquire, .release = release};

const struct s_mysql_registry *mysql_plugin_registry_acquire(void) {
  if (strcmp(removed, "registry") == 0) return NULL;
  atomic_fetch_add(&held, 1);
  return &registry;
}

int mysql_plugin_registry_release(const struct s_mysql_registry *given) {
  if (given != &registry) crash("another registry was released");
  atomic_fetch_sub(&held, 1);
  return 0;
}
