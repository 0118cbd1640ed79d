/* Waiting in the session's own thread, for a descriptor or a moment: in slices, so that a KILL is seen, and
 * with an eye on the client that the work is for. Knows nothing of channels or mysqld. */
#ifndef LAMBDA_UDF_WAITING_H
#define LAMBDA_UDF_WAITING_H

#include <stdbool.h>
#include <stdint.h>

/* How long to wait, and what else ends the wait. */
struct wait {
  int64_t deadline_ms;          /* on wait_clock_ms()'s clock */
  bool (*stop)(void *stop_arg); /* asked at least every 75 ms; true ends the wait. May be NULL. */
  void *stop_arg;
  int client_fd; /* a socket whose peer's end (POLLRDHUP) ends the wait too; borrowed, never read; -1: none */
};

enum wait_result {
  WAIT_OK = 0,
  WAIT_STOPPED,   /* wait->stop said so */
  WAIT_TIMEOUT,   /* wait->deadline_ms passed */
  WAIT_ABANDONED, /* the peer of wait->client_fd has gone */
  WAIT_LOST       /* what was waited for can no longer come; never from the functions below */
};

/* The monotonic clock, in milliseconds and in microseconds. */
int64_t wait_clock_ms(void);
int64_t wait_clock_us(void);

/* Waits until fd is ready for events (ppoll(2)); fd -1 waits for the deadline, or for a stop. */
enum wait_result wait_ready(int fd, short events, const struct wait *wait);

/* What else ends the wait, without waiting: WAIT_OK if nothing does. */
enum wait_result wait_look(const struct wait *wait);

/* Sleeps in a wait; for trying again. WAIT_OK after milliseconds. */
enum wait_result wait_pause(const struct wait *wait, int milliseconds);

#endif
