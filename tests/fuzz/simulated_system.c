/* The system's calls of simulated_names.h, as poll(2), send(2), recv(2) and unix(7) have them.
 * Must not know HTTP/2. Fails where the library uses a descriptor that it has not, or waits in a circle. */
#include "simulated_system.h"

#include <errno.h>
#undef ppoll /* glibc's declaration says that it only writes what it is given */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "target.h"

#define FIRST_FD 100000
#define CLIENT_FD 200000
/* Each call of the system takes that long. */
#define CALL_US 1
/* Waits that end at once, though between them nothing is read or written. */
#define IDLE_WAITS_MAX 20

static struct connection connections[CONNECTIONS_MAX];
static uint8_t incoming[CONNECTIONS_MAX]
                       [INCOMING_MAX]; /* allocating it each time would take longer than all else */
static int connection_count;
static int64_t now_us;
static bool client_gone;
static int idle_waits;

void system_start(void) {
  memset(connections, 0, sizeof connections);
  connection_count = 0;
  now_us = 1000000;
  client_gone = false;
  idle_waits = 0;
}

void system_end(void) {
  for (int i = 0; i < connection_count; i++) require(!connections[i].open, "every descriptor is closed");
}

int64_t system_now_us(void) { return now_us; }

void system_pass_us(int64_t us) { now_us += us; }

struct connection *system_connection(int fd) {
  require(fd >= FIRST_FD && fd < FIRST_FD + connection_count, "the descriptor is a socket");
  struct connection *connection = &connections[fd - FIRST_FD];
  require(connection->open, "the descriptor is open");
  return connection;
}

struct connection *system_latest(void) {
  for (int i = connection_count - 1; i >= 0; i--)
    if (connections[i].open) return &connections[i];
  return NULL;
}

void system_say(struct connection *connection, const uint8_t *bytes, size_t length) {
  if (connection->ended || connection->reset) return;
  if (length > INCOMING_MAX - connection->said) length = INCOMING_MAX - connection->said;
  if (length > 0) memcpy(connection->incoming + connection->said, bytes, length);
  connection->said += length;
}

int system_client(void) { return CLIENT_FD; }

void system_client_goes(void) { client_gone = true; }

/* ---- the calls ---- */

static ssize_t fails_with(int error) {
  errno = error;
  return -1;
}

static bool is_interrupted(struct connection *connection) {
  now_us += CALL_US;
  if (connection->interruptions == 0) return false;
  connection->interruptions--;
  return true;
}

int socket(int domain, int type, int protocol) {
  require(domain == AF_UNIX && (type & SOCK_NONBLOCK) != 0 && (type & SOCK_CLOEXEC) != 0 && protocol == 0,
          "a socket is as the library promises");
  if (connection_count == CONNECTIONS_MAX) return (int)fails_with(EMFILE);
  connections[connection_count].open = true;
  connections[connection_count].incoming = incoming[connection_count];
  return FIRST_FD + connection_count++;
}

int connect(int fd, const struct sockaddr *address, socklen_t length) {
  struct connection *connection = system_connection(fd);
  require(address->sa_family == AF_UNIX && length > sizeof(sa_family_t), "an address is a Unix socket's");
  int error = peer_accepts(connection);
  return error == 0 ? 0 : (int)fails_with(error);
}

int close(int fd) {
  struct connection *connection = system_connection(fd);
  connection->open = false;
  return 0;
}

ssize_t send(int fd, const void *bytes, size_t length, int flags) {
  struct connection *connection = system_connection(fd);
  require((flags & MSG_NOSIGNAL) != 0 && (flags & MSG_DONTWAIT) != 0,
          "sending neither waits nor kills mysqld");
  require(length > 0, "something is sent");
  if (is_interrupted(connection)) return fails_with(EINTR);
  if (connection->deaf || connection->reset || connection->ended) return fails_with(EPIPE);
  if (connection->room == 0) return fails_with(EAGAIN);
  if (length > connection->room) length = connection->room;
  connection->room -= length;
  idle_waits = 0;
  peer_hears(connection, bytes, length);
  return (ssize_t)length;
}

ssize_t recv(int fd, void *bytes, size_t size, int flags) {
  struct connection *connection = system_connection(fd);
  require((flags & MSG_DONTWAIT) != 0, "reading does not wait");
  if (is_interrupted(connection)) return fails_with(EINTR);
  size_t length = connection->said - connection->heard;
  if (connection->fragment > 0 && length > connection->fragment) length = connection->fragment;
  if (length > size) length = size;
  if (length == 0 && !connection->reset && !connection->ended) return fails_with(EAGAIN);
  idle_waits = 0;
  if (length == 0 && connection->reset) return fails_with(ECONNRESET);
  if (length > 0) memcpy(bytes, connection->incoming + connection->heard, length);
  connection->heard += length;
  now_us += (int64_t)length / 64;
  return (ssize_t)length;
}

static short ready(struct connection *connection, short events) {
  short found = 0;
  bool over = connection->ended || connection->reset;
  if (connection->said > connection->heard || over) found |= POLLIN;
  if (connection->room > 0 || connection->deaf || over) found |= POLLOUT;
  return (short)((found & events) | (over ? POLLHUP : 0) | (connection->reset ? POLLERR : 0));
}

/* Fills in what is ready. Their number. */
static int look(struct pollfd *fds, nfds_t count) {
  int found = 0;
  for (nfds_t i = 0; i < count; i++) {
    fds[i].revents = 0;
    if (fds[i].fd == CLIENT_FD && client_gone) fds[i].revents = fds[i].events & POLLRDHUP;
    if (fds[i].fd >= 0 && fds[i].fd != CLIENT_FD)
      fds[i].revents = ready(system_connection(fds[i].fd), fds[i].events);
    if (fds[i].revents != 0) found++;
  }
  return found;
}

int poll(struct pollfd *fds, nfds_t count, int timeout) {
  require(timeout == 0, "only ppoll() waits");
  now_us += CALL_US;
  return look(fds, count);
}

int simulated_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                    const sigset_t *signals);
int simulated_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                    const sigset_t *signals) {
  require(timeout != NULL && signals == NULL, "a wait has an end");
  require(timeout->tv_sec >= 0 && timeout->tv_nsec >= 0 && timeout->tv_nsec < 1000000000, "a time is one");
  int64_t until = now_us + (int64_t)timeout->tv_sec * 1000000 + timeout->tv_nsec / 1000 + 1;
  struct connection *connection = fds[0].fd < 0 ? NULL : system_connection(fds[0].fd);
  now_us += CALL_US;
  if (connection != NULL && is_interrupted(connection)) return (int)fails_with(EINTR);
  require(++idle_waits <= IDLE_WAITS_MAX, "a wait ends only where something can be done then");
  for (;;) {
    int found = look(fds, count);
    if (found == 0 || client_gone) idle_waits = 0;
    if (found > 0) return found;
    if (now_us >= until) return 0;
    if (peer_acts(connection)) continue;
    int64_t next_us = peer_acts_again_us();
    now_us = next_us < until ? next_us : until;
  }
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  require(clock == CLOCK_MONOTONIC, "the clock is one that nobody sets");
  now_us += CALL_US;
  *time = (struct timespec){.tv_sec = now_us / 1000000, .tv_nsec = now_us % 1000000 * 1000};
  return 0;
}
