/* The part of the MySQL server's ABI that this library uses, restated in C.
 * Nothing here comes from a server's headers: one binary serves MySQL 8.0, 8.4 and 9.x, because a
 * service never changes under its name. Each struct names the server file that defines it. */
#ifndef LAMBDA_UDF_MYSQL_ABI_H
#define LAMBDA_UDF_MYSQL_ABI_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* include/mysql/udf_registration_types.h */
enum Item_result {
  INVALID_RESULT = -1,
  STRING_RESULT = 0,
  REAL_RESULT,
  INT_RESULT,
  ROW_RESULT,
  DECIMAL_RESULT
};

typedef struct UDF_ARGS {
  unsigned int arg_count;
  enum Item_result *arg_type;
  char **args;            /* NULL where the SQL value is NULL, or not yet known (in init) */
  unsigned long *lengths; /* bytes */
  char *maybe_null;
  char **attributes;
  unsigned long *attribute_lengths;
  void *extension;
} UDF_ARGS;

typedef struct UDF_INIT {
  bool maybe_null;
  unsigned int decimals;
  unsigned long max_length;
  char *ptr; /* the function's own, from init to deinit */
  bool const_item;
  void *extension;
} UDF_INIT;

/* include/mysql_com.h: size of the message buffer that an init function may write */
#define MYSQL_ERRMSG_SIZE 512

/* include/mysqld_error.h (share/messages_to_clients.txt) */
#define ER_LOCK_OR_ACTIVE_TRANSACTION 1192   /* no argument */
#define ER_SPECIFIC_ACCESS_DENIED_ERROR 1227 /* one string: the privilege */
#define ER_QUERY_INTERRUPTED 1317            /* no argument */
#define ER_QUERY_TIMEOUT 3024                /* no argument */
#define ER_UDF_ERROR 3200                    /* two strings: the function, the text */

/* include/my_sys.h: a fatal error is caught by no CONTINUE HANDLER */
#define ME_FATALERROR 1024

/* include/mysql/components/services/bits/mysql_thd_attributes_bits.h: values of "thd_status" */
#define STATUS_SESSION_OK 1
#define STATUS_SESSION_KILLED 2
#define STATUS_QUERY_KILLED 8
#define STATUS_QUERY_TIMEOUT 16

/* include/lex_string.h */
typedef struct MYSQL_LEX_CSTRING {
  const char *str;
  size_t length;
} MYSQL_LEX_CSTRING;

typedef void *MYSQL_THD;
typedef struct my_h_service_imp *my_h_service;
typedef struct my_h_string_imp *my_h_string;
typedef struct Security_context_handle_imp *Security_context_handle;

/* Every service method below returns 0 for success unless it says otherwise
 * (include/mysql/components/service.h: mysql_service_status_t is int). */

/* include/mysql/components/services/registry.h */
struct s_mysql_registry {
  int (*acquire)(const char *service_name, my_h_service *out_service);
  int (*acquire_related)(const char *service_name, my_h_service service, my_h_service *out_service);
  int (*release)(my_h_service service);
};

/* include/mysql/service_plugin_registry.h, with C++ linkage. Weak: a program that is not mysqld
 * lacks them, and the library must still load there to say so. */
const struct s_mysql_registry *mysql_plugin_registry_acquire(void) __asm__(
    "_Z29mysql_plugin_registry_acquirev") __attribute__((weak, visibility("default")));
int mysql_plugin_registry_release(const struct s_mysql_registry *registry) __asm__(
    "_Z29mysql_plugin_registry_releasePK16s_mysql_registry") __attribute__((weak, visibility("default")));

/* sql/sql_thd_internal_api.h, with C++ linkage: the statement's text, without a lock, for the session's own
 * thread. Weak: the server promises it to its own storage engines only. */
MYSQL_LEX_CSTRING thd_query_unsafe(MYSQL_THD thd) __asm__("_Z16thd_query_unsafeP3THD")
    __attribute__((weak, visibility("default")));
/* sql/sql_thd_api.cc, with C linkage; weak, as all that follows: a server may lack them. The command (LEX) of
 * what the session executes now: in a routine's body that of the instruction. */
int thd_sql_command(const void *thd) __attribute__((weak, visibility("default")));
/* include/my_sqlcommand.h, enum enum_sql_command: those that EXPLAIN takes, the same since 5.7. Expressions
 * of routines have SQLCOM_SET_OPTION or SQLCOM_END. */
#define SQLCOM_SELECT 0
#define SQLCOM_UPDATE 4
#define SQLCOM_INSERT 5
#define SQLCOM_INSERT_SELECT 6
#define SQLCOM_DELETE 7
#define SQLCOM_SET_OPTION 31
#define SQLCOM_REPLACE 40
#define SQLCOM_REPLACE_SELECT 41
#define SQLCOM_DELETE_MULTI 74
#define SQLCOM_UPDATE_MULTI 75
/* No command from here on has a subquery (the last that has is SQLCOM_CREATE_VIEW, 102); SQLCOM_END is above
 * 150 in every version. */
#define SQLCOM_WITHOUT_SUBQUERY 140
/* sql/sql_thd_api.cc, with C linkage: those of the session's option bits that are asked for.
 * sql/query_options.h: this one is set from LOCK TABLES to UNLOCK TABLES, in every version so far. */
long long thd_test_options(const void *thd, long long options) __attribute__((weak, visibility("default")));
#define OPTION_TABLE_LOCK (1LL << 21)
/* sql/sql_thd_api.cc, with C linkage. The value of THD::killed (sql/sql_class.h): 0, or the number of the
 * error that it means. */
int thd_killed(const void *thd) __attribute__((weak, visibility("default")));
#define ER_SERVER_SHUTDOWN 1053 /* THD::KILL_CONNECTION; THD::KILL_QUERY is 1317, THD::KILL_TIMEOUT 3024 */
/* sql/sql_thd_api.cc, with C linkage: CONNECTION_ID(). */
unsigned long thd_get_thread_id(const void *thd) __attribute__((weak, visibility("default")));

/* sql/sql_class.cc, THD::get_vio_type() const: the kind of the client's connection, by a virtual call on the
 * session's protocol. That of the classic protocol (sql/protocol_classic.h) looks whether there is a Vio;
 * those without a socket of their own say VIO_TYPE_LOCAL or VIO_TYPE_PLUGIN (sql/protocol_callback.cc: X
 * Protocol). */
int thd_get_vio_type(const void *thd) __asm__("_ZNK3THD12get_vio_typeEv")
    __attribute__((weak, visibility("default")));
/* include/violite.h, enum enum_vio_type: those with a socket behind them */
#define VIO_TYPE_TCPIP 1
#define VIO_TYPE_SOCKET 2
#define VIO_TYPE_SSL 4
/* sql/sql_thd_api.cc, thd_get_fd(THD *): the client's socket, -1 once a KILL has closed it. It takes the
 * classic protocol and its Vio for granted and crashes without: only where thd_get_vio_type() gives one of
 * these three. */
int thd_get_fd(void *thd) __asm__("_Z10thd_get_fdP3THD") __attribute__((weak, visibility("default")));

/* include/mysql/components/services/mysql_simple_error_log.h; not in early 8.0 */
struct s_mysql_mysql_simple_error_log {
  int (*emit)(const char *component, const char *file, unsigned long line, int severity, int error_id, ...);
};
#define MYSQL_ERROR_LOG_SEVERITY_ERROR 1
#define ER_LOG_PRINTF_MSG 11071 /* share/messages_to_error_log.txt: one string, the text */

/* include/mysql/components/services/mysql_runtime_error.h */
struct s_mysql_mysql_runtime_error {
  void (*emit)(int error_id, int flags, va_list args);
};

/* include/mysql/components/services/udf_metadata.h */
struct s_mysql_mysql_udf_metadata {
  int (*argument_get)(UDF_ARGS *args, const char *extension_type, unsigned int index, void **out_value);
  int (*result_get)(UDF_INIT *init, const char *extension_type, void **out_value);
  int (*argument_set)(UDF_ARGS *args, const char *extension_type, unsigned int index, void *in_value);
  int (*result_set)(UDF_INIT *init, const char *extension_type, void *in_value);
};

/* include/mysql/components/services/mysql_current_thread_reader.h */
struct s_mysql_mysql_current_thread_reader {
  int (*get)(MYSQL_THD *thd);
};

/* include/mysql/components/services/security_context.h */
struct s_mysql_mysql_thd_security_context {
  int (*get)(MYSQL_THD thd, Security_context_handle *out_ctx);
  int (*set)(MYSQL_THD thd, Security_context_handle in_ctx);
};

struct s_mysql_mysql_security_context_options {
  /* "priv_user", "priv_host": MYSQL_LEX_CSTRING; "privilege_super": bool */
  int (*get)(Security_context_handle ctx, const char *name, void *inout_pvalue);
  int (*set)(Security_context_handle ctx, const char *name, void *pvalue);
};

/* include/mysql/components/services/mysql_thd_attributes.h */
struct s_mysql_mysql_thd_attributes {
  /* "thd_status": uint16_t, not in 8.0; "schema": my_h_string, to be destroyed */
  int (*get)(MYSQL_THD thd, const char *name, void *inout_pvalue);
  int (*set)(MYSQL_THD thd, const char *name, void *inout_pvalue);
};

/* include/mysql/components/services/mysql_string.h */
struct s_mysql_mysql_string_factory {
  int (*create)(my_h_string *out_string);
  void (*destroy)(my_h_string string);
};

struct s_mysql_mysql_string_converter {
  int (*convert_from_buffer)(my_h_string *out_string, const char *in_buffer, uint64_t length,
                             const char *charset_name);
  int (*convert_to_buffer)(my_h_string in_string, char *out_buffer, uint64_t length,
                           const char *charset_name);
};

/* include/mysql/components/services/mysql_query_attributes.h: three services that the server itself registers
 * (sql/server_component/server_component.cc), from 8.0.23 on. What a client sends beside a statement is there
 * from its beginning to its end, in routines and triggers too (sql/sql_parse.cc, dispatch_command). */
typedef struct mysqlh_query_attributes_iterator_imp *mysqlh_query_attributes_iterator;

struct s_mysql_mysql_query_attributes_iterator {
  /* thd NULL: the running session. 1: there is no attribute of that name, and nothing is to be released. */
  int (*create)(MYSQL_THD thd, const char *name, mysqlh_query_attributes_iterator *out_iterator);
  int (*get_type)(mysqlh_query_attributes_iterator iterator, void *out_type);
  int (*next)(mysqlh_query_attributes_iterator iterator);
  int (*get_name)(mysqlh_query_attributes_iterator iterator, my_h_string *out_name_handle);
  void (*release)(mysqlh_query_attributes_iterator iterator);
};

struct s_mysql_mysql_query_attribute_string {
  /* *out_string_value is to be destroyed; NULL for a value of a type that has no text. */
  int (*get)(mysqlh_query_attributes_iterator iterator, my_h_string *out_string_value);
};

struct s_mysql_mysql_query_attribute_isnull {
  int (*get)(mysqlh_query_attributes_iterator iterator, bool *out_null);
};

/* include/mysql/components/services/mysql_system_variable.h; not in 8.x */
struct s_mysql_mysql_system_variable_reader {
  int (*get)(MYSQL_THD thd, const char *variable_type, const char *component_name, const char *variable_name,
             void **val, size_t *out_length_of_val);
};

/* include/mysql/components/services/dynamic_privilege.h */
struct s_mysql_dynamic_privilege_register {
  int (*register_privilege)(const char *name, size_t length);
  int (*unregister_privilege)(const char *name, size_t length);
};

struct s_mysql_global_grants_check {
  int (*has_global_grant)(Security_context_handle ctx, const char *name, size_t length); /* 1: has it */
};

/* include/mysql/components/services/mysql_runtime_warning.h; not in 8.x. The arguments must be those
 * of the error's own format. */
struct s_mysql_mysql_runtime_warning {
  void (*emit)(MYSQL_THD thd, int error_id, ...);
  void (*emit_v)(MYSQL_THD thd, int error_id, va_list args);
};

/* include/mysql/components/services/pfs_plugin_table_service.h: a table in performance_schema. Its callbacks
 * run in the threads of the sessions that read it. */
#define PFS_HA_ERR_OUT_OF_MEM 128 /* include/my_base.h, HA_ERR_OUT_OF_MEM */
#define PFS_HA_ERR_RECORD_DELETED 134
#define PFS_HA_ERR_END_OF_FILE 137
typedef struct PSI_field PSI_field;
typedef void PSI_table_handle; /* the component's own */
typedef void PSI_pos;

struct PFS_engine_table_proxy {
  int (*rnd_next)(PSI_table_handle *handle);
  int (*rnd_init)(PSI_table_handle *handle, bool scan); /* its result is not looked at */
  int (*rnd_pos)(PSI_table_handle *handle);
  int (*index_init)(PSI_table_handle *handle, unsigned int idx, bool sorted, void **index);
  int (*index_read)(void *index, void *reader, unsigned int idx, int find_flag);
  int (*index_next)(PSI_table_handle *handle);
  int (*read_column_value)(PSI_table_handle *handle, PSI_field *field, unsigned int index);
  void (*reset_position)(PSI_table_handle *handle);
  int (*write_column_value)(PSI_table_handle *handle, PSI_field *field, unsigned int index);
  int (*write_row_values)(PSI_table_handle *handle);
  int (*update_column_value)(PSI_table_handle *handle, PSI_field *field, unsigned int index);
  int (*update_row_values)(PSI_table_handle *handle);
  int (*delete_row_values)(PSI_table_handle *handle);
  /* *pos: m_ref_length bytes that say where the handle stands; the server copies them out, and back in before
   * rnd_pos. */
  PSI_table_handle *(*open_table)(PSI_pos **pos);
  void (*close_table)(PSI_table_handle *handle);
};

enum Access_control { PFS_READONLY = 0 };

struct PFS_engine_table_share_proxy {
  struct PFS_engine_table_proxy m_proxy_engine_table;
  const char *m_table_name;
  unsigned int m_table_name_length;
  const char *m_table_definition;
  unsigned int m_ref_length;
  enum Access_control m_acl;
  int (*delete_all_rows)(void);
  unsigned long long (*get_row_count)(void);
};

/* Its methods are NULL in a server that was built without the performance schema
 * (storage/perfschema/pfs_plugin_table_noop.cc). */
struct s_mysql_pfs_plugin_table_v1 {
  int (*add_tables)(struct PFS_engine_table_share_proxy **shares, unsigned int count);
  int (*delete_tables)(struct PFS_engine_table_share_proxy **shares, unsigned int count);
  unsigned int (*get_parts_found)(void *reader);
};

struct PSI_longlong {
  long long val;
  bool is_null;
};
struct PSI_ulonglong {
  unsigned long long val;
  bool is_null;
};

/* Of the three that follow only the beginning. */
struct s_mysql_pfs_plugin_column_bigint_v1 {
  void (*set)(PSI_field *field, struct PSI_longlong value);
  void (*set_unsigned)(PSI_field *field, struct PSI_ulonglong value);
};
struct s_mysql_pfs_plugin_column_string_v2 {
  void (*set_char_utf8mb4)(PSI_field *field, const char *value, unsigned int length);
  void (*get_char_utf8mb4)(PSI_field *field, char *text, unsigned int *length);
  void (*read_key_string)(void *reader, void *key, int find_flag);
  bool (*match_key_string)(bool is_null, const char *text, unsigned int length, void *key);
  void (*get_varchar_utf8mb4)(PSI_field *field, char *text, unsigned int *length);
  void (*set_varchar_utf8mb4)(PSI_field *field, const char *text); /* NULL: NULL */
};
struct s_mysql_pfs_plugin_column_timestamp_v2 {
  void (*set)(PSI_field *field, const char *text, unsigned int length);
  void (*set2)(PSI_field *field, unsigned long long microseconds); /* since 1970; 0: NULL */
};

/* include/mysql/components/services/bits/system_variables_bits.h */
#define PLUGIN_VAR_LONG 0x0003
#define PLUGIN_VAR_STR 0x0005
#define PLUGIN_VAR_ENUM 0x0006
#define PLUGIN_VAR_UNSIGNED 0x0080
#define PLUGIN_VAR_THDLOCAL 0x0100 /* never with a string: SET SESSION crashes the server */
#define PLUGIN_VAR_MEMALLOC 0x8000

struct st_mysql_value {
  int (*value_type)(struct st_mysql_value *);
  const char *(*val_str)(struct st_mysql_value *, char *buffer, int *length);
  int (*val_real)(struct st_mysql_value *, double *realbuf);
  int (*val_int)(struct st_mysql_value *, long long *intbuf); /* 1: the value is NULL */
  int (*is_unsigned)(struct st_mysql_value *);
};
#define MYSQL_VALUE_TYPE_INT 2

/* include/mysql/components/services/component_sys_var_service.h */
typedef struct SYS_VAR SYS_VAR;
typedef int (*mysql_sys_var_check_func)(MYSQL_THD thd, SYS_VAR *var, void *save,
                                        struct st_mysql_value *value); /* 1: error 1231 */
typedef void (*mysql_sys_var_update_func)(MYSQL_THD thd, SYS_VAR *var, void *val_ptr, const void *save);

struct TYPE_LIB {
  size_t count;
  const char *name;
  const char **type_names;
  unsigned int *type_lengths;
};

/* INTEGRAL_CHECK_ARG(ulong), ENUM_CHECK_ARG(enum), STR_CHECK_ARG(str) */
struct ulong_check_arg {
  unsigned long def_val, min_val, max_val, blk_sz;
};
struct enum_check_arg {
  unsigned long def_val;
  struct TYPE_LIB *typelib;
};
struct str_check_arg {
  char *def_val;
};

struct s_mysql_component_sys_variable_register {
  int (*register_variable)(const char *component_name, const char *name, int flags, const char *comment,
                           mysql_sys_var_check_func check, mysql_sys_var_update_func update, void *check_arg,
                           void *variable_value);
  /* The global value as text, copied under the server's lock. */
  int (*get_variable)(const char *component_name, const char *name, void **val, size_t *out_length_of_val);
};

struct s_mysql_component_sys_variable_unregister {
  int (*unregister_variable)(const char *component_name, const char *name);
};

/* include/mysql/status_var.h */
enum enum_mysql_show_type { SHOW_LONGLONG = 4 };
enum enum_mysql_show_scope { SHOW_SCOPE_GLOBAL = 1 };

struct SHOW_VAR {
  const char *name;
  char *value;
  enum enum_mysql_show_type type;
  enum enum_mysql_show_scope scope;
};

/* include/mysql/components/services/component_status_var_service.h; the array ends with a NULL name */
struct s_mysql_status_variable_registration {
  int (*register_variable)(struct SHOW_VAR *status_var);
  int (*unregister_variable)(struct SHOW_VAR *status_var);
};

/* include/mysql/components/services/dynamic_loader.h; each table ends with zeros */
struct mysql_service_ref_t {
  const char *name;
  void *implementation;
};
struct mysql_service_placeholder_ref_t {
  const char *name;
  void **implementation;
};
struct mysql_metadata_ref_t {
  const char *key;
  const char *value;
};
struct mysql_component_t {
  const char *name;
  const struct mysql_service_ref_t *provides;
  struct mysql_service_placeholder_ref_t *requires;
  const struct mysql_metadata_ref_t *metadata;
  int (*init)(void);   /* 1: INSTALL COMPONENT fails (3536) */
  int (*deinit)(void); /* 1: UNINSTALL COMPONENT fails (3538), everything stays usable */
};

#endif
