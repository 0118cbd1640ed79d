/* What a channel holds that its own header does not say. */
#ifndef LAMBDA_UDF_FUZZ_WATCHED_CHANNEL_H
#define LAMBDA_UDF_FUZZ_WATCHED_CHANNEL_H

#include <stddef.h>

#include "channel.h"

/* How many answers are owed on it. */
size_t channel_owed(const struct channel *channel);
/* Whether the other side has done nothing on it but what a good sidecar does. */
bool channel_is_served_well(const struct channel *channel);

#endif
