/* The component's life: registers everything or nothing, says why it could not, and does not leave while rows
 * that may invoke are evaluated. Must not know what a call is. */
#include "component.h"

#include <dlfcn.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>

#include "calls_table.h"
#include "channel_pool.h"
#include "counters.h"
#include "exports.h"
#include "failure.h"
#include "mysql_abi.h"
#include "server.h"
#include "sysvars.h"

/* How long UNINSTALL COMPONENT waits for calls before it is refused. */
#define LEAVE_MS 200

/* Filled by the server before init, released by it after deinit. */
static const struct s_mysql_registry *registry;
static const struct s_mysql_dynamic_privilege_register *privileges;
static const struct s_mysql_component_sys_variable_register *sysvar_register;
static const struct s_mysql_component_sys_variable_unregister *sysvar_unregister;
static const struct s_mysql_status_variable_registration *status_variables;

/* One word, so that the component leaves in one step with the last row being out: the generation in the upper
 * half (0: not installed), the rows that are inside in the lower. */
static _Atomic uint64_t door;
static atomic_bool leaving;
#define GENERATION_SHIFT 32

uint32_t component_generation(void) {
  return atomic_load(&leaving) ? 0 : (uint32_t)(atomic_load(&door) >> GENERATION_SHIFT);
}

bool component_enter(uint32_t generation, bool *variables) {
  uint32_t now = (uint32_t)(atomic_fetch_add(&door, 1) >> GENERATION_SHIFT);
  *variables = now != 0;
  if (generation == 0 || generation == now) return true;
  component_leave();
  return false;
}

void component_leave(void) { atomic_fetch_sub(&door, 1); }

static bool is_killed(void) {
  MYSQL_THD session = server_session();
  return session != NULL && server_interrupt(session) != SERVER_RUNS;
}

/* Calls do without the table, and where MySQL cannot create it, the component comes without. But a KILL
 * meanwhile has rolled back its row in mysql.component too (tried on 9.7.4): MySQL would have a component
 * then that it neither uninstalls nor starts with. MySQL forgets that KILL; what is seen of it is that the
 * second try succeeds, unless a view reads the table (docs/errors.md, 3544). False: there was a KILL, and the
 * table is not there. */
static bool add_table(void) {
  if (calls_table_add()) return true;
  if (!is_killed() && !calls_table_add()) return true;
  return !calls_table_remove();
}

static bool register_all(struct failure *failure) {
  const char *missing = "";
  if (!server_attach(&missing))
    return failure_set(failure, FAILURE_SERVER, "this server lacks %s: MySQL 8.0 or newer is needed",
                       missing);
  if (privileges->register_privilege(COMPONENT_PRIVILEGE, strlen(COMPONENT_PRIVILEGE)) != 0)
    return failure_set(failure, FAILURE_SERVER, "the server refuses the privilege %s", COMPONENT_PRIVILEGE);
  if (!sysvars_register(sysvar_register, sysvar_unregister, failure)) goto no_variables;
  if (status_variables->register_variable(counters_status_variables()) != 0) {
    failure_set(failure, FAILURE_SERVER, "the server refuses the status variables Lambda_udf_*");
    goto no_counters;
  }
  if (add_table()) return true;
  failure_set(failure, FAILURE_SERVER, "interrupted by KILL");
  (void)status_variables->unregister_variable(counters_status_variables());
no_counters:
  sysvars_unregister(sysvar_unregister);
no_variables:
  (void)privileges->unregister_privilege(COMPONENT_PRIVILEGE, strlen(COMPONENT_PRIVILEGE));
  return false;
}

/* INSTALL COMPONENT of several undoes those before one that fails, and unloads them whatever their deinit
 * says (components/libminchassis/dynamic_loader.cc, load_do_initialize_components). Of one that could not
 * leave the server keeps variables, counters and a table, which point into the library: so that holds itself,
 * until it can leave. */
static void *held;

static void hold_library(void) {
  Dl_info library;
  if (held == NULL && dladdr(&held, &library) != 0) held = dlopen(library.dli_fname, RTLD_NOW | RTLD_NOLOAD);
}

/* In deinit, where the server holds it still. */
static void let_library_go(void) {
  if (held != NULL) (void)dlclose(held);
  held = NULL;
}

static bool is_installed(void) { return atomic_load(&door) >> GENERATION_SHIFT != 0; }

/* The server calls init and deinit one at a time. It knows nothing of why init failed (error 3536 names the
 * component alone), so the reason is raised before it raises that, and stands in the log for a start of the
 * server. */
static int component_init(void) {
  static uint32_t installations;
  struct failure failure;
  if (is_installed()) { /* It could not leave when the server undid its installation, the table's rows in the
                           data dictionary among it. */
    if (calls_table_remove()) (void)calls_table_add();
    return 0;
  }
  if (!register_all(&failure)) {
    server_report(failure.text);
    return 1;
  }
  if (++installations == 0) installations = 1;
  atomic_fetch_add(&door, (uint64_t)installations << GENERATION_SHIFT);
  return 0;
}

/* Whether the last row goes out within LEAVE_MS, and if so, closes the door behind it if it is to. Meanwhile
 * nobody new gets in by the privilege, so that short calls, however many, run out. Rows need nothing of what
 * INSTALL and UNINSTALL COMPONENT hold: they read variables, their socket and their own session's state. */
static bool rows_are_out(bool close) {
  bool out = false;
  atomic_store(&leaving, true);
  for (int waited = 0; !out && waited <= LEAVE_MS; waited++) {
    uint64_t empty = atomic_load(&door) >> GENERATION_SHIFT << GENERATION_SHIFT;
    out = atomic_compare_exchange_strong(&door, &empty, close ? 0 : empty);
    if (!out) (void)poll(NULL, 0, 1);
  }
  atomic_store(&leaving, false);
  return out;
}

/* Statements that have begun go on while the door is open; at their next row they find it closed and fail. */
static bool leave(void) {
  /* Before the table is removed: to create it anew would commit what has been done so far, the removal of the
   * component's row from mysql.component, wherever a view reads the table (tried on 9.7.4). */
  if (!rows_are_out(false)) return false;
  /* It may have to wait for a transaction that has read the table; calls go on meanwhile. */
  if (!calls_table_remove() || !rows_are_out(true)) return false;
  (void)status_variables->unregister_variable(counters_status_variables());
  sysvars_unregister(sysvar_unregister);
  (void)privileges->unregister_privilege(COMPONENT_PRIVILEGE, strlen(COMPONENT_PRIVILEGE));
  channel_pool_clear();
  return true;
}

static int component_deinit(void) {
  if (!leave()) {
    hold_library();
    return 1;
  }
  let_library_go();
  return 0;
}

struct mysql_component_t *list_components(void) {
  static const struct mysql_service_ref_t provides[] = {{.name = NULL}};
  static struct mysql_service_placeholder_ref_t needs[] = {
      {.name = "registry", .implementation = (void **)&registry},
      {.name = "dynamic_privilege_register", .implementation = (void **)&privileges},
      {.name = "component_sys_variable_register", .implementation = (void **)&sysvar_register},
      {.name = "component_sys_variable_unregister", .implementation = (void **)&sysvar_unregister},
      {.name = "status_variable_registration", .implementation = (void **)&status_variables},
      {.name = NULL},
  };
  static const struct mysql_metadata_ref_t metadata[] = {
      {.key = "mysql.author", .value = "The lambda-udf authors"},
      {.key = "mysql.license", .value = "MIT"},
      {.key = NULL},
  };
  static struct mysql_component_t component = {
      .name = "lambda_udf",
      .provides = provides,
      .requires = needs,
      .metadata = metadata,
      .init = component_init,
      .deinit = component_deinit,
  };
  return &component;
}
