/* Reads the requests that one message of the library holds, by hand and not by the library's own code. Knows
 * the contract; nothing of how the message came. */
#ifndef LAMBDA_UDF_FUZZ_REQUESTS_H
#define LAMBDA_UDF_FUZZ_REQUESTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In one message (proto: more). */
#define REQUESTS_MAX 64

struct sent_request {
  uint64_t call_id, timeout_ms, deadline_ms;
  uint64_t result_max;
  bool takes_more;
  bool has_durable_name;
  const uint8_t *payload; /* in the message */
  size_t payload_length;
};

/* Their number, 1 to REQUESTS_MAX. Fails where the message is not as invoker.proto has it. */
size_t requests_read(const uint8_t *message, size_t length, struct sent_request requests[REQUESTS_MAX]);

#endif
