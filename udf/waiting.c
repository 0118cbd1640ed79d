/* Waiting with ppoll(), in slices.
 * Must not know what is waited for. */
#include "waiting.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

/* A KILL must be seen within 100 ms; the longer slice is most of what a thousand waiting sessions cost. */
#define FIRST_SLICE_NS (30 * NS_PER_MS)
#define SLICE_NS (75 * NS_PER_MS)
/* The longer slices end at multiples of this, so that many threads wake at one interrupt of the timer. */
#define GRID_NS (5 * NS_PER_MS)
#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

static int64_t clock_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t wait_clock_ms(void) { return clock_ns() / NS_PER_MS; }

int64_t wait_clock_us(void) { return clock_ns() / NS_PER_US; }

/* The state of a client, by its socket. A peer that only stops sending counts as gone too, as in mysqld's own
 * vio_is_connected(). Bytes that it has sent ahead are not asked for, so they do not end the wait. */
enum client { CLIENT_WAITS, CLIENT_GONE, CLIENT_UNKNOWN };

static enum client look_at_client(short revents) {
  if ((revents & POLLNVAL) != 0)
    return CLIENT_UNKNOWN; /* closed on our side: whoever did that has set the KILL */
  return (revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0 ? CLIENT_GONE : CLIENT_WAITS;
}

enum wait_result wait_look(const struct wait *wait) {
  struct pollfd client = {.fd = wait->client_fd, .events = POLLRDHUP};
  int count = wait->client_fd < 0 ? 0 : poll(&client, 1, 0);
  /* After a KILL the descriptor may be closed, and its number another's: the KILL is the reason then. */
  if (wait->stop != NULL && wait->stop(wait->stop_arg)) return WAIT_STOPPED;
  if (wait->deadline_ms <= wait_clock_ms()) return WAIT_TIMEOUT;
  return count > 0 && look_at_client(client.revents) == CLIENT_GONE ? WAIT_ABANDONED : WAIT_OK;
}

enum wait_result wait_ready(int fd, short events, const struct wait *wait) {
  bool first = true;
  int client_fd = wait->client_fd;
  for (;;) {
    int64_t now = clock_ns(), left = wait->deadline_ms * NS_PER_MS - now;
    if (wait->stop != NULL && wait->stop(wait->stop_arg)) return WAIT_STOPPED;
    if (left <= 0) return WAIT_TIMEOUT;
    int64_t slice = first ? FIRST_SLICE_NS : SLICE_NS - (now + SLICE_NS) % GRID_NS;
    if (left < slice) slice = left;
    struct timespec timeout = {.tv_sec = (time_t)(slice / NS_PER_S), .tv_nsec = (long)(slice % NS_PER_S)};
    struct pollfd ready[] = {{.fd = fd, .events = events}, {.fd = client_fd, .events = POLLRDHUP}};
    int count = ppoll(ready, 2, &timeout, NULL);
    if (count < 0 && errno != EINTR) return WAIT_OK; /* recv will say what is wrong */
    if (count > 0 && ready[1].revents != 0) {
      /* After a KILL the descriptor may be closed, and its number another's: the KILL is the reason then. */
      if (wait->stop != NULL && wait->stop(wait->stop_arg)) return WAIT_STOPPED;
      enum client client = look_at_client(ready[1].revents);
      if (client == CLIENT_GONE) return WAIT_ABANDONED;
      if (client == CLIENT_UNKNOWN) client_fd = -1;
    }
    if (count > 0 && ready[0].revents != 0) return WAIT_OK;
    first = false;
  }
}

enum wait_result wait_pause(const struct wait *wait, int milliseconds) {
  struct wait pause = *wait;
  int64_t until = wait_clock_ms() + milliseconds;
  if (until < pause.deadline_ms) pause.deadline_ms = until;
  enum wait_result result = wait_ready(-1, 0, &pause);
  if (result == WAIT_TIMEOUT && pause.deadline_ms < wait->deadline_ms) return WAIT_OK;
  return result;
}
