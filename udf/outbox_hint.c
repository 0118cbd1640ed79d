/* One datagram for many rows: a trigger on the outbox calls for each row that is inserted, also in the same
 * millisecond from many sessions. Holds nothing between two calls, so there is nothing to give back. */
#include "outbox_hint.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "component.h"
#include "settings.h"

#define INTERVAL_NS 1000000

/* Whether this call is the first for a millisecond. */
static bool is_time(void) {
  static _Atomic int64_t last; /* 0 is long ago: the clock starts with the machine */
  struct timespec clock;
  if (clock_gettime(CLOCK_MONOTONIC, &clock) != 0) return false;
  int64_t now = (int64_t)clock.tv_sec * 1000000000 + clock.tv_nsec;
  int64_t before = atomic_load_explicit(&last, memory_order_relaxed);
  return now - before >= INTERVAL_NS && atomic_compare_exchange_strong_explicit(
                                            &last, &before, now, memory_order_relaxed, memory_order_relaxed);
}

/* Generation 0: it may be called with the component and without. */
static bool find_address(struct sockaddr_un *address) {
  char path[SETTINGS_SOCKET_SIZE];
  struct failure failure;
  bool variables = false;
  if (!component_enter(0, &variables)) return false;
  bool found = settings_read_socket(variables, path, &failure);
  component_leave();
  size_t length = found ? strlen(path) : 0;
  if (!found || length + sizeof OUTBOX_HINT_SUFFIX > sizeof address->sun_path) return false;
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  memcpy(address->sun_path, path, length);
  memcpy(address->sun_path + length, OUTBOX_HINT_SUFFIX, sizeof OUTBOX_HINT_SUFFIX);
  return true;
}

bool outbox_hint(void) {
  struct sockaddr_un address;
  if (!is_time() || !find_address(&address)) return false;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  ssize_t sent = sendto(fd, "", 1, MSG_NOSIGNAL, (const struct sockaddr *)&address, sizeof address);
  close(fd);
  return sent == 1;
}
