/* The part of mysqld that lambda_udf.so sees, small enough to watch: registry, services, sessions.
 * Knows the server's ABI (udf/mysql_abi.h); nothing of what the library does with it. */
#ifndef LAMBDA_UDF_TEST_FAKE_MYSQLD_H
#define LAMBDA_UDF_TEST_FAKE_MYSQLD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mysql_abi.h"

#define RAISED_TEXT_SIZE 1024

#define FAKE_ARGUMENTS_MAX 4

/* UDF_ARGS.extension points to it: the collation of each argument, as the statement has it or as it was
 * set. */
struct fake_arguments {
  const char *collation[FAKE_ARGUMENTS_MAX];
};

/* One session; each thread that calls functions has its own. */
struct fake_session {
  _Atomic uint16_t status; /* "thd_status"; any thread may set it */
  bool super;
  bool lost;               /* the server does not say who it is */
  int vio_type;            /* 0: no client */
  int client;              /* its socket */
  const char *traceparent; /* the only query attribute of its statement; NULL: it has none */
  int raised;
  int raised_flags;
  int times_raised;
  char raised_text[RAISED_TEXT_SIZE]; /* the arguments, joined by '|' */
};

/* A session for the calling thread, with SUPER, running. */
void fake_session_start(struct fake_session *session);

/* From now on there is no such service, or no such attribute of a session. */
void fake_registry_remove(const char *service);

/* Whether the registry has it still. */
bool fake_registry_has(const char *service);

/* Services, registries and strings that the library holds now. */
int fake_held(void);

#endif
