/* The hint to the sidecar that there is something new in the outbox.
 * Knows where the hint goes; not what the outbox is, nor who calls. */
#ifndef LAMBDA_UDF_OUTBOX_HINT_H
#define LAMBDA_UDF_OUTBOX_HINT_H

#include <stdbool.h>

/* Where hints go: a Unix datagram socket at the path of the sidecar's own with this appended. */
#define OUTBOX_HINT_SUFFIX ".hint"

/* Sends one datagram of one byte, unless this process tried to less than a millisecond ago. Never waits, and
 * fails for nobody: the sidecar looks from time to time anyway. True: a datagram has left. False: it was too
 * early, nobody listens, its queue is full (and so it knows), or the path is longer than sun_path.
 * server_attach() comes first. Safe from any thread. */
bool outbox_hint(void);

#endif
