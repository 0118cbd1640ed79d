/* A session that is killed, or whose client goes, as the script says.
 * Must not know what the session does. */
#include "session.h"

#include "peer.h"
#include "server.h"
#include "simulated_system.h"
#include "target.h"

/* A KILL is seen within 100 ms (waiting.h), a deadline at once; then what has come is still read (READS_MS).
 */
#define KILL_SEEN_US 100000

/* ---- what the library asks ---- */

enum server_interrupt server_interrupt(MYSQL_THD session) {
  (void)session;
  return peer_killed_us() > 0 ? SERVER_KILLED : SERVER_RUNS;
}

int server_client_fd(MYSQL_THD session) {
  (void)session;
  return system_client();
}

void server_raise(int error_id, int flags, ...) { (void)error_id, (void)flags; }

/* ---- what the targets ask ---- */

struct settings session_settings(void) {
  static const uint32_t times[] = {1, 50, 300, 1000, 3000};
  struct settings settings = {.socket = "/s"};
  settings.timeout_ms = times[peer_script_byte() % 5];
  settings.connect_timeout_ms = times[peer_script_byte() % 5];
  return settings;
}

void session_check_failure(const struct failure *failure) {
  require(failure->kind > FAILURE_NONE && failure->kind < FAILURE_KIND_COUNT, "a failure has a kind");
  require(failure->text[0] != '\0', "a failure has a text");
}

/* event_us: 0 if there was none. */
static void check_seen(int64_t event_us, int64_t from_us, int64_t slack_us, const char *what) {
  int64_t since_us = event_us < from_us ? from_us : event_us;
  require(event_us == 0 || system_now_us() <= since_us + KILL_SEEN_US + slack_us, what);
}

void session_check_time(int64_t from_us, int64_t until_us, int64_t slack_us) {
  require(system_now_us() <= until_us + slack_us, "nothing waits beyond its deadline");
  check_seen(peer_killed_us(), from_us, slack_us, "a KILL is seen in time");
  check_seen(peer_client_went_us(), from_us, slack_us, "the client's end is seen in time");
}
