/* The load of SQL statements: a session is a connection to mysqld, a call is a statement that gives one
 * value. Knows libmariadb; nothing of what the statement does. */
#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>

#include "driver.h"

struct connection {
  MYSQL *mysql;
  MYSQL_RES *result; /* owns the last answer */
};

static bool explain(MYSQL *mysql, char *failure) {
  (void)snprintf(failure, FAILURE_SIZE, "error %u: %s", mysql_errno(mysql), mysql_error(mysql));
  return false;
}

static void close_connection(void *session) {
  struct connection *connection = session;
  mysql_free_result(connection->result);
  mysql_close(connection->mysql);
  free(connection);
}

/* `where` is mysqld's Unix socket; root has no password there. */
static void *open_connection(const char *where, char *failure) {
  struct connection *connection = calloc(1, sizeof *connection);
  if (connection == NULL || (connection->mysql = mysql_init(NULL)) == NULL) {
    (void)snprintf(failure, FAILURE_SIZE, "no memory");
    free(connection);
    return NULL;
  }
  mysql_options(connection->mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  if (mysql_real_connect(connection->mysql, NULL, "root", "", NULL, 0, where, 0) != NULL) return connection;
  explain(connection->mysql, failure);
  close_connection(connection);
  return NULL;
}

static bool run_statement(void *session, struct bytes request, struct bytes *answer, char *failure) {
  struct connection *connection = session;
  mysql_free_result(connection->result);
  connection->result = NULL;
  if (mysql_real_query(connection->mysql, request.data, request.length) != 0)
    return explain(connection->mysql, failure);
  connection->result = mysql_store_result(connection->mysql);
  if (connection->result == NULL) return explain(connection->mysql, failure);
  MYSQL_ROW row = mysql_fetch_row(connection->result);
  if (row == NULL || row[0] == NULL || mysql_num_rows(connection->result) != 1) {
    (void)snprintf(failure, FAILURE_SIZE, "%s instead of one value",
                   row == NULL ? "no row" : "NULL or more rows");
    return false;
  }
  *answer = (struct bytes){row[0], mysql_fetch_lengths(connection->result)[0]};
  return true;
}

int main(int argc, char **argv) {
  static const struct target sql = {open_connection, run_statement, close_connection};
  if (mysql_library_init(0, NULL, NULL) != 0) return 2;
  int status = driver_main(argc, argv, &sql);
  mysql_library_end();
  return status;
}
