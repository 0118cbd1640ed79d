/* The system as the library sees it: a clock, and connections of one Unix socket, all in memory and in one
 * thread, so that a run is the same each time and a minute of waiting costs nothing. The other side acts when
 * the library waits. Knows sockets; not what is said on them. */
#ifndef LAMBDA_UDF_FUZZ_SIMULATED_SYSTEM_H
#define LAMBDA_UDF_FUZZ_SIMULATED_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONNECTIONS_MAX 24
/* So much is kept of what the other side says, before the library reads it. */
#define INCOMING_MAX (256 * 1024)

struct connection {
  bool open;         /* the library has the descriptor */
  uint8_t *incoming; /* what the other side has said: INCOMING_MAX bytes of room */
  size_t said, heard;
  bool ended;      /* nothing more will be said */
  bool reset;      /* the same, and as an error */
  bool deaf;       /* nothing can be sent any more */
  size_t room;     /* bytes that the socket takes before the other side reads */
  size_t fragment; /* bytes that one read gets at most */
  int interruptions;
  struct listener *listener; /* peer.c's */
};

/* Begins anew: no connections, the clock at its beginning. */
void system_start(void);
/* Fails if the library has left a descriptor open. */
void system_end(void);

int64_t system_now_us(void);
void system_pass_us(int64_t us);

/* The connection of a descriptor. Fails if it is none that is open. */
struct connection *system_connection(int fd);
/* The one that was made last, if it is still open; or NULL. */
struct connection *system_latest(void);

/* Says it on the connection; what is beyond INCOMING_MAX is lost, as if the other side had not said it. */
void system_say(struct connection *connection, const uint8_t *bytes, size_t length);

/* A socket of the client that the library only watches, and its end. */
int system_client(void);
void system_client_goes(void);

/* ---- the other side's part ---- */

/* 0, or the error of connect(2). */
int peer_accepts(struct connection *connection);
/* The library has sent that. */
void peer_hears(struct connection *connection, const uint8_t *bytes, size_t length);
/* Does something, there or (NULL) wherever it likes. False: it rests. */
bool peer_acts(struct connection *connection);
/* Until when it rests; never in the past. */
int64_t peer_acts_again_us(void);

#endif
