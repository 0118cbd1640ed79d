/* The session that the library works for in whole calls: what mysqld would say of it, its settings, and what
 * must hold for each of its calls. Stands in for server.c; knows nothing of channels. */
#ifndef LAMBDA_UDF_FUZZ_SESSION_H
#define LAMBDA_UDF_FUZZ_SESSION_H

#include <stdint.h>

#include "failure.h"
#include "settings.h"

/* Two bytes of the script choose them. */
struct settings session_settings(void);

void session_check_failure(const struct failure *failure);

/* Something that began at from_us has ended: by until_us at the latest, and soon after a KILL or its client's
 * end. */
void session_check_time(int64_t from_us, int64_t until_us, int64_t slack_us);

#endif
