/* Included before everything else where the library is built for the fuzz targets of whole calls: its calls
 * of the system go to simulated_system.c. Knows names alone. */
#ifndef LAMBDA_UDF_FUZZ_SIMULATED_NAMES_H
#define LAMBDA_UDF_FUZZ_SIMULATED_NAMES_H

#define socket simulated_socket
#define connect simulated_connect
#define close simulated_close
#define send simulated_send
#define recv simulated_recv
#define poll simulated_poll
#define ppoll simulated_ppoll
#define clock_gettime simulated_clock_gettime

#endif
