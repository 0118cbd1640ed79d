/* A session's line to the sidecar: the channel that it holds, and how the session waits on it. Many calls can
 * be under way on one line. Knows channels, their pool and KILL; not what a call is. */
#ifndef LAMBDA_UDF_LINE_H
#define LAMBDA_UDF_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "channel.h"
#include "failure.h"
#include "mysql_abi.h"
#include "server.h"
#include "settings.h"

/* Must not move once it has been started: wait points at it. */
struct line {
  const struct settings *settings;
  MYSQL_THD session;
  struct channel *channel;         /* NULL: none is held */
  struct wait wait;                /* for everything that is waited for on the line */
  enum server_interrupt interrupt; /* what stopped the wait, after WAIT_STOPPED */
};

/* A line without a channel; connects to nothing. settings must outlive it. Only the session's own thread may
 * use it. */
void line_start(struct line *line, const struct settings *settings, MYSQL_THD session);

/* Until when to wait from now on, on wait_clock_ms()'s clock; asks anew for the client's socket. To be called
 * first in each row: what the server has said of the client holds for that long. */
void line_wait_until(struct line *line, int64_t deadline_ms);

/* True: the session has not been killed. False: *failure says that it has. */
bool line_may_go_on(struct line *line, struct failure *failure);

/* Sees to it that the line holds a channel: its own, an idle one, or a new one, for which connecting is tried
 * for connect_timeout_ms. False: *failure says why there is none. */
bool line_connect(struct line *line, struct failure *failure);

/* A moment's rest before something is tried again. False: *failure says what ended it. */
bool line_pause(struct line *line, struct failure *failure);

/* Gives the channel, on which nothing may be under way, to whoever calls next. */
void line_release(struct line *line);

/* Closes the channel, if one is held: the stream is reset, and so the sidecar drops every call on it. */
void line_drop(struct line *line);

/* The failure for a wait on the line that ended without what was waited for, other than by a loss
 * (WAIT_LOST). Returns false. */
bool line_wait_failed(const struct line *line, enum wait_result result, struct failure *failure);

/* The failure for a sidecar that cannot be reached, went away or answered garbage. Returns false. */
bool line_unavailable(const struct line *line, const char *reason, struct failure *failure);

#endif
