/* What ends a wait when nothing is waited for: a stop, the deadline, the client's end, in that order. */
#include "waiting.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka.h wants some of the above first. */
#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

static bool says(void *arg) { return *(bool *)arg; }

/* A client's two ends; ours is looked at. */
struct client {
  int ours, theirs;
};

static struct client new_client(void) {
  int ends[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  return (struct client){.ours = ends[0], .theirs = ends[1]};
}

static void end_client(const struct client *client) {
  close(client->ours);
  close(client->theirs);
}

static struct wait wait_for(int client_fd) {
  return (struct wait){.deadline_ms = wait_clock_ms() + 60000, .client_fd = client_fd};
}

static void nothing_ends_a_wait_for_nothing(void **state) {
  struct client client = new_client();
  struct wait waits[] = {wait_for(-1), wait_for(client.ours)};
  (void)state;
  for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) assert_int_equal(wait_look(&waits[i]), WAIT_OK);
  assert_int_equal(send(client.theirs, "ahead", 5, MSG_NOSIGNAL), 5);
  assert_int_equal(wait_look(&waits[1]), WAIT_OK);
  end_client(&client);
}

static void a_client_that_has_gone_ends_it(void **state) {
  struct client client = new_client();
  struct wait wait = wait_for(client.ours);
  (void)state;
  assert_int_equal(shutdown(client.theirs, SHUT_WR), 0);
  assert_int_equal(wait_look(&wait), WAIT_ABANDONED);
  end_client(&client);
  client = new_client();
  wait.client_fd = client.ours;
  close(client.theirs);
  assert_int_equal(wait_look(&wait), WAIT_ABANDONED);
  close(client.ours);
}

static void a_descriptor_that_was_closed_on_our_side_ends_nothing(void **state) {
  struct client client = new_client();
  struct wait wait = wait_for(client.ours);
  (void)state;
  end_client(&client);
  assert_int_equal(wait_look(&wait), WAIT_OK);
}

static void a_stop_is_the_reason_before_all_others_and_then_the_deadline(void **state) {
  struct client client = new_client();
  struct wait wait = wait_for(client.ours);
  bool stops = false;
  (void)state;
  close(client.theirs);
  wait.stop = says;
  wait.stop_arg = &stops;
  assert_int_equal(wait_look(&wait), WAIT_ABANDONED);
  wait.deadline_ms = wait_clock_ms();
  assert_int_equal(wait_look(&wait), WAIT_TIMEOUT);
  stops = true;
  assert_int_equal(wait_look(&wait), WAIT_STOPPED);
  close(client.ours);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_ends_a_wait_for_nothing),
      cmocka_unit_test(a_client_that_has_gone_ends_it),
      cmocka_unit_test(a_descriptor_that_was_closed_on_our_side_ends_nothing),
      cmocka_unit_test(a_stop_is_the_reason_before_all_others_and_then_the_deadline),
  };
  return cmocka_run_group_tests_name("waiting", tests, NULL, NULL);
}
