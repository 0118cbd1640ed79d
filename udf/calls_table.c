/* Columns of lambda_udf_calls, and the reading of it: each scan has a copy of the journal of its own.
 * Must not know how calls come into the journal. */
#include "calls_table.h"

#include <stdlib.h>
#include <time.h>

#include "failure.h"
#include "journal.h"
#include "mysql_abi.h"
#include "server.h"
#include "waiting.h"

#define NAME "lambda_udf_calls"

/* In the order of put_column(). */
static const char definition[] =
    "CONNECTION_ID BIGINT UNSIGNED NOT NULL COMMENT 'CONNECTION_ID() of the session that calls',"
    "USER VARCHAR(32) NOT NULL COMMENT 'the account, as CURRENT_USER() has it there',"
    "HOST VARCHAR(255) NOT NULL,"
    "FUNCTION_NAME VARCHAR(256) NOT NULL COMMENT 'as written in SQL; an execution, or (callback)',"
    "INVOCATION_TYPE VARCHAR(15) COMMENT 'NULL: the options of lambda_invoke say it',"
    "PHASE VARCHAR(10) NOT NULL COMMENT 'held, connecting, sent; failed: it is over',"
    "STARTED TIMESTAMP(6) NOT NULL,"
    "DURATION_US BIGINT UNSIGNED NOT NULL COMMENT 'until now, or until it failed',"
    "ERROR VARCHAR(16) COMMENT 'the kind of failure, as in Lambda_udf_errors_...',"
    "MESSAGE VARCHAR(480),"
    "REQUEST_ID VARCHAR(64) COMMENT 'of Lambda, where it gave one'";

/* A scan. The server keeps the position between rows, and may set it before it reads one (rnd_pos). */
struct scan {
  struct journal_row *rows;
  size_t count, next;
  const struct journal_row *row; /* where it stands; NULL: nowhere */
  uint64_t position;             /* the row's number */
};

static PSI_table_handle *open_table(PSI_pos **position) {
  static uint64_t nowhere;
  struct scan *scan = calloc(1, sizeof *scan);
  *position = scan == NULL ? &nowhere : &scan->position;
  return scan;
}

static void close_table(PSI_table_handle *handle) {
  struct scan *scan = handle;
  if (scan == NULL) return;
  free(scan->rows);
  free(scan);
}

static void stand_on(struct scan *scan, const struct journal_row *row) {
  scan->row = row;
  scan->position = row == NULL ? 0 : row->number;
}

static void reset_position(PSI_table_handle *handle) {
  struct scan *scan = handle;
  if (scan == NULL) return;
  scan->next = 0;
  stand_on(scan, NULL);
}

/* The server does not look at what this returns, but at what the next call does. */
static int begin(PSI_table_handle *handle, bool scans) {
  struct scan *scan = handle;
  (void)scans;
  if (scan == NULL) return PFS_HA_ERR_OUT_OF_MEM;
  free(scan->rows);
  scan->rows = journal_read(&scan->count);
  reset_position(handle);
  return scan->rows == NULL ? PFS_HA_ERR_OUT_OF_MEM : 0;
}

static int next_row(PSI_table_handle *handle) {
  struct scan *scan = handle;
  if (scan == NULL || scan->rows == NULL) return PFS_HA_ERR_OUT_OF_MEM;
  if (scan->next >= scan->count) return PFS_HA_ERR_END_OF_FILE;
  stand_on(scan, &scan->rows[scan->next++]);
  return 0;
}

/* A call that has ended since its number was taken down is no more. */
static int row_at_position(PSI_table_handle *handle) {
  struct scan *scan = handle;
  if (scan == NULL || scan->rows == NULL) return PFS_HA_ERR_OUT_OF_MEM;
  for (size_t i = 0; i < scan->count; i++) {
    if (scan->rows[i].number != scan->position) continue;
    scan->row = &scan->rows[i];
    return 0;
  }
  return PFS_HA_ERR_RECORD_DELETED;
}

/* Microseconds since 1970 for a moment on wait_clock_us(). */
static uint64_t moment(int64_t at_us) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (uint64_t)((int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 - (wait_clock_us() - at_us));
}

static const char *type_name(enum invocation_type type) {
  switch (type) {
    case INVOCATION_REQUEST_RESPONSE:
    case INVOCATION_ROW:
      return "RequestResponse";
    case INVOCATION_EVENT:
      return "Event";
    case INVOCATION_EXECUTION:
      return "Execution";
    case INVOCATION_CALLBACK_SUCCESS:
    case INVOCATION_CALLBACK_FAILURE:
      return "Callback";
    default:
      return NULL;
  }
}

static const char *text_or_null(const char *text) { return text[0] == '\0' ? NULL : text; }

static void put_column(const struct journal_row *row, PSI_field *field, unsigned int column) {
  static const char *const phases[] = {"held", "connecting", "sent", "failed"};
  switch (column) {
    case 0:
      server_set_number(field, row->connection_id);
      return;
    case 1:
      server_set_text(field, row->user);
      return;
    case 2:
      server_set_text(field, row->host);
      return;
    case 3:
      server_set_text(field, row->function);
      return;
    case 4:
      server_set_text(field, type_name(row->type));
      return;
    case 5:
      server_set_text(field, phases[row->phase]);
      return;
    case 6:
      server_set_time(field, moment(row->begun_us));
      return;
    case 7:
      server_set_number(field, row->lasted_us < 0 ? 0 : (uint64_t)row->lasted_us);
      return;
    case 8:
      server_set_text(field, failure_name(row->kind));
      return;
    case 9:
      server_set_text(field, text_or_null(row->text));
      return;
    default:
      server_set_text(field, text_or_null(row->request_id));
  }
}

static int read_column(PSI_table_handle *handle, PSI_field *field, unsigned int column) {
  const struct scan *scan = handle;
  if (scan == NULL || scan->row == NULL) return PFS_HA_ERR_END_OF_FILE;
  put_column(scan->row, field, column);
  return 0;
}

/* For the optimizer, which wants no more than an idea. */
static unsigned long long row_count(void) { return JOURNAL_FAILURES_MAX; }

static struct PFS_engine_table_share_proxy share = {
    .m_proxy_engine_table = {.rnd_next = next_row,
                             .rnd_init = begin,
                             .rnd_pos = row_at_position,
                             .read_column_value = read_column,
                             .reset_position = reset_position,
                             .open_table = open_table,
                             .close_table = close_table},
    .m_table_name = NAME,
    .m_table_name_length = sizeof NAME - 1,
    .m_table_definition = definition,
    .m_ref_length = sizeof(uint64_t),
    .m_acl = PFS_READONLY,
    .get_row_count = row_count,
};
/* INSTALL and UNINSTALL COMPONENT come one at a time. */
static bool is_there;

bool calls_table_add(void) {
  is_there = is_there || server_add_table(&share);
  return is_there;
}

bool calls_table_remove(void) {
  is_there = is_there && !server_remove_table(&share);
  return !is_there;
}
