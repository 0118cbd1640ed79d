/* Everything that the library asks of mysqld while statements run, through its component services and
 * exported functions: character sets, the account in force, KILL, raising errors. Knows nothing of calls,
 * channels or Lambda. */
#ifndef LAMBDA_UDF_SERVER_H
#define LAMBDA_UDF_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mysql_abi.h"

/* A user name has at most 32 characters, a host 255, a schema 64 (refman: Identifier Length Limits,
 * Account Names); each up to 4 bytes in utf8mb4, and a NUL. */
#define SERVER_USER_SIZE 129
#define SERVER_HOST_SIZE 256
#define SERVER_SCHEMA_SIZE 257

/* The security context in force when a statement starts: CURRENT_USER()'s rule. */
struct server_account {
  char user[SERVER_USER_SIZE];
  char host[SERVER_HOST_SIZE];
  char schema[SERVER_SCHEMA_SIZE]; /* empty if none is selected */
  uint64_t connection_id;          /* 0 where the server does not say */
  bool may_invoke;                 /* SUPER, or the privilege where it counts */
};

enum server_interrupt { SERVER_RUNS = 0, SERVER_KILLED, SERVER_QUERY_TIME };

/* Acquires the services, once for the process; later calls cost one atomic load. They are released
 * when the library is unloaded. False: this is not a MySQL server, or one too old; *missing names
 * what it lacks. Must come before every other call here. Safe from any thread. */
bool server_attach(const char **missing);

/* Whether this is 8.0 or 8.4, recognised by what they lack: they do not know a session's variables, and do
 * not copy the strings that they hand over. */
bool server_is_8(void);

/* In init: the "charset" or "collation" of an argument as the statement has it, or as it was set; the
 * server's. Empty if it does not say. */
const char *server_argument(UDF_ARGS *args, unsigned int index, const char *what);

/* In init: sets the "charset" or "collation" to which a string argument is converted, or that a result has.
 * False: the server refuses, and has raised an error. */
bool server_set_argument(UDF_ARGS *args, unsigned int index, const char *what, const char *name);
bool server_set_result(UDF_INIT *init, const char *what, const char *name);

/* The session's collation_connection; false on 8.x. */
bool server_collation(MYSQL_THD session, char *text, size_t size);

/* The running session; NULL if there is none. */
MYSQL_THD server_session(void);

/* The text of the statement that the session runs, in its client's character set: inside a routine the
 * statement of the body, of a prepared statement what was prepared. An expression of the body (SET of a local
 * variable, RETURN, IF, …) and a cursor have no text of their own: there it is the caller's. The server's,
 * valid until the statement ends, and only in the session's own thread. NULL, 0 where the server does not
 * say. */
MYSQL_LEX_CSTRING server_statement_text(MYSQL_THD session);

/* False while the session evaluates an expression of a routine's body, whose text is the caller's; and where
 * the server does not say. True in a statement of a kind that EXPLAIN takes, a cursor's query too. */
bool server_evaluates_statement(MYSQL_THD session);

/* Whether the session runs SET, or evaluates an expression of a routine's body. False where the server does
 * not say.
 */
bool server_evaluates_expression(MYSQL_THD session);

/* Fills account from the session's security context. privilege is the dynamic privilege that suffices
 * beside SUPER, NULL if none does. False if the server does not say; then nobody may invoke. */
bool server_account(MYSQL_THD session, const char *privilege, struct server_account *account);

/* The value of a query attribute that the client sent with the session's statement, as text that ends with
 * NUL, cut if it is longer than size - 1 bytes. False, and an empty text: there is none, it is NULL, or the
 * server does not say. Case does not matter in names. */
bool server_query_attribute(MYSQL_THD session, const char *name, char *text, size_t size);

/* Reads a variable of this component as text that ends with NUL: the session's value, or (session NULL,
 * or a server without session values for components) the global one. False: there is no such variable,
 * or it does not fit into size bytes. Never from a variable's update callback. */
bool server_variable(MYSQL_THD session, const char *name, char *text, size_t size);

/* The largest max_allowed_packet (refman: Server System Variables); a result as long as that is a LONGTEXT.
 */
#define SERVER_PACKET_MAX 1073741824u

/* The bytes of the longest result row that the session's client can be given, max_allowed_packet; its largest
 * value where the server does not say. */
size_t server_max_packet(MYSQL_THD session);

/* The server's major version; 0 if it does not say. */
unsigned long server_major_version(void);

/* Adds a warning with the text of error 3200. Does nothing where the server has no such service (8.x). */
void server_warn(MYSQL_THD session, const char *function, const char *text);

/* The socket of the session's client, for watching whether it is still there; -1 for sessions without one of
 * their own (events, replication, X Protocol) and where the server does not say. It is the server's, and
 * valid as long as no KILL is seen: never read from it, never close it, and ask anew for each call. */
int server_client_fd(MYSQL_THD session);

/* Writes text to the error log, and makes it the error of the running statement (3200, under the component's
 * name) if there is one and server_attach() has succeeded, without which this may be called too. */
void server_report(const char *text);

/* A table in performance_schema, whose share the server keeps a pointer to, and its callbacks, until it is
 * removed. In INSTALL and UNINSTALL COMPONENT only. server_add_table() is false where the server cannot have
 * such tables, or refuses; server_remove_table() where it could not take the table's lock: then those who
 * have it open may read on, the server opens it for nobody new, and it can be removed later; and under LOCK
 * TABLES, where it changes nothing and raises error 1192. */
bool server_add_table(struct PFS_engine_table_share_proxy *share);
bool server_remove_table(struct PFS_engine_table_share_proxy *share);

/* In the callbacks of such a table: a column's value. text is UTF-8 that ends with NUL, NULL for NULL; time
 * is in microseconds since 1970. */
void server_set_number(PSI_field *field, uint64_t number);
void server_set_text(PSI_field *field, const char *text);
void server_set_time(PSI_field *field, uint64_t microseconds);

/* Whether the session's statement has been killed or has run out of max_execution_time. */
enum server_interrupt server_interrupt(MYSQL_THD session);

/* Raises a server error in the running session. The arguments must be those of the error's own
 * format: others crash the server. */
void server_raise(int error_id, int flags, ...);

#endif
