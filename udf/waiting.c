/* Waiting with poll(), in slices.
 * Must not know what is waited for. */
#include "waiting.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

/* A KILL must be seen within 100 ms; the longer slice is most of what a thousand waiting sessions cost. */
#define FIRST_SLICE_MS 30
#define SLICE_MS 75

int64_t wait_clock_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

enum wait_result wait_ready(int fd, short events, const struct wait *wait) {
  int slice = FIRST_SLICE_MS;
  for (;;) {
    int64_t left = wait->deadline_ms - wait_clock_ms();
    if (wait->stop != NULL && wait->stop(wait->stop_arg)) return WAIT_STOPPED;
    if (left <= 0) return WAIT_TIMEOUT;
    struct pollfd ready = {.fd = fd, .events = events};
    int count = poll(&ready, 1, left < slice ? (int)left : slice);
    if (count > 0) return WAIT_OK;
    if (count < 0 && errno != EINTR) return WAIT_OK; /* recv will say what is wrong */
    slice = SLICE_MS;
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
