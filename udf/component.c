/* The component's life: registers everything or nothing, and does not leave while calls are in flight.
 * Must not know what a call is. */
#include "component.h"

#include <poll.h>
#include <stdatomic.h>
#include <string.h>

#include "channel_pool.h"
#include "counters.h"
#include "lambda_udf.h"
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

static atomic_bool installed;

bool component_is_installed(void) { return atomic_load_explicit(&installed, memory_order_acquire); }

static int component_init(void) {
  const char *missing;
  if (!server_attach(&missing)) return 1;
  if (privileges->register_privilege(COMPONENT_PRIVILEGE, strlen(COMPONENT_PRIVILEGE)) != 0) return 1;
  if (!sysvars_register(sysvar_register, sysvar_unregister)) goto no_variables;
  if (status_variables->register_variable(counters_status_variables()) != 0) goto no_status;
  atomic_store(&installed, true);
  return 0;
no_status:
  sysvars_unregister(sysvar_unregister);
no_variables:
  (void)privileges->unregister_privilege(COMPONENT_PRIVILEGE, strlen(COMPONENT_PRIVILEGE));
  return 1;
}

/* Whether the calls that are under way end within LEAVE_MS. They need nothing of what INSTALL and
 * UNINSTALL COMPONENT hold: a call in flight only reads its socket and its own session's state. */
static bool calls_end(void) {
  for (int waited = 0; counter_read(COUNTER_IN_FLIGHT) > 0; waited++) {
    if (waited >= LEAVE_MS) return false;
    (void)poll(NULL, 0, 1);
  }
  return true;
}

static int component_deinit(void) {
  /* First nobody new gets in by the privilege, so that short calls, however many, run out. */
  atomic_store(&installed, false);
  if (!calls_end()) {
    atomic_store(&installed, true);
    return 1;
  }
  (void)status_variables->unregister_variable(counters_status_variables());
  sysvars_unregister(sysvar_unregister);
  (void)privileges->unregister_privilege(COMPONENT_PRIVILEGE, strlen(COMPONENT_PRIVILEGE));
  channel_pool_clear();
  return 0;
}

struct mysql_component_t *list_components(void) {
  static const struct mysql_service_ref_t provides[] = {{NULL, NULL}};
  static struct mysql_service_placeholder_ref_t needs[] = {
      {"registry", (void **)&registry},
      {"dynamic_privilege_register", (void **)&privileges},
      {"component_sys_variable_register", (void **)&sysvar_register},
      {"component_sys_variable_unregister", (void **)&sysvar_unregister},
      {"status_variable_registration", (void **)&status_variables},
      {NULL, NULL},
  };
  static const struct mysql_metadata_ref_t metadata[] = {
      {"mysql.author", "The lambda-udf authors"}, {"mysql.license", "MIT"}, {NULL, NULL}};
  static struct mysql_component_t component = {"lambda_udf", provides,       needs,
                                               metadata,     component_init, component_deinit};
  return &component;
}
