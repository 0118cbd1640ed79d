/* A stack of idle channels: the one used last is used first, so that the rest grow old and go.
 * Must not know what is sent on them. */
#include "channel_pool.h"

#include <pthread.h>
#include <string.h>

#include "settings.h"

/* More sessions than that may call at once; the channels beyond are closed after their call. */
#define IDLE_MAX 128
#define IDLE_MS 60000
/* At most so many are closed for their age each time one comes back: no call pays for a crowd. */
#define AGED_MAX 4

static struct {
  char path[SETTINGS_SOCKET_SIZE]; /* all idle channels lead to this socket */
  struct idle {
    struct channel *channel;
    int64_t since_ms;
  } idle[IDLE_MAX]; /* the oldest first */
  int count;
} pool;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct channel *channel_pool_take(const char *path) {
  for (;;) {
    struct idle top = {.channel = NULL};
    pthread_mutex_lock(&lock);
    if (pool.count > 0 && strcmp(pool.path, path) == 0) top = pool.idle[--pool.count];
    pthread_mutex_unlock(&lock);
    if (top.channel == NULL) return NULL;
    if (wait_clock_ms() - top.since_ms < IDLE_MS && channel_is_usable(top.channel)) return top.channel;
    channel_close(top.channel);
  }
}

/* Takes up to max of the oldest channels out, those that are too old or (if all is set) any. */
static int take_oldest(struct channel *out[], int max, int64_t now_ms, bool all) {
  int count = 0;
  while (count < max && count < pool.count && (all || now_ms - pool.idle[count].since_ms >= IDLE_MS)) {
    out[count] = pool.idle[count].channel;
    count++;
  }
  pool.count -= count;
  memmove(pool.idle, pool.idle + count, (size_t)pool.count * sizeof pool.idle[0]);
  return count;
}

void channel_pool_give(const char *path, struct channel *channel) {
  struct channel *closing[AGED_MAX];
  int64_t now = wait_clock_ms();
  pthread_mutex_lock(&lock);
  if (pool.count == 0 && strlen(path) < sizeof pool.path) memcpy(pool.path, path, strlen(path) + 1);
  bool other_socket = strcmp(pool.path, path) != 0;
  int count = take_oldest(closing, AGED_MAX, now, other_socket);
  if (!other_socket && pool.count < IDLE_MAX) {
    pool.idle[pool.count++] = (struct idle){.channel = channel, .since_ms = now};
    channel = NULL;
  }
  pthread_mutex_unlock(&lock);
  for (int i = 0; i < count; i++) channel_close(closing[i]);
  channel_close(channel);
}

void channel_pool_clear(void) {
  struct channel *closing[IDLE_MAX];
  pthread_mutex_lock(&lock);
  int count = take_oldest(closing, IDLE_MAX, 0, true);
  pthread_mutex_unlock(&lock);
  for (int i = 0; i < count; i++) channel_close(closing[i]);
}

__attribute__((destructor)) static void channel_pool_unload(void) { channel_pool_clear(); }
