/* Connecting to a Unix socket. Knows nothing of what is sent on it. */
#ifndef LAMBDA_UDF_UNIX_SOCKET_H
#define LAMBDA_UDF_UNIX_SOCKET_H

/* A non-blocking stream socket that is connected to path and is closed on exec; the caller's. -1: errno says
 * why, as connect(2) has it (EAGAIN: the listener's queue is full), or ENAMETOOLONG. Does not wait. */
int unix_socket_connect(const char *path);

#endif
