/* Idle channels, shared by all sessions of mysqld; bounded in number and in age.
 * Knows nothing of what is sent on them. Safe from any thread; no lock is held while anything waits. */
#ifndef LAMBDA_UDF_CHANNEL_POOL_H
#define LAMBDA_UDF_CHANNEL_POOL_H

#include "channel.h"

/* An idle channel to that socket that is still good for a call, now the caller's; or NULL. */
struct channel *channel_pool_take(const char *path);

/* Gives a channel with nothing outstanding back: it is kept, or closed if there are enough. */
void channel_pool_give(const char *path, struct channel *channel);

/* Closes all idle channels. Also runs when the library is unloaded. */
void channel_pool_clear(void);

#endif
