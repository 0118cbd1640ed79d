/* protos/lambda_udf/v1/invoker.proto in C: encodes a request, decodes a response (nanopb).
 * Pure, so that it is fuzzed (tests/fuzz); knows nothing of HTTP/2 or sockets. */
#ifndef LAMBDA_UDF_CONTRACT_H
#define LAMBDA_UDF_CONTRACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that belong to somebody else; data may be NULL if length is 0. Not ended by NUL. */
struct slice {
  const char *data;
  size_t length;
};

/* At most max bytes of text; instead (a C string) where it is empty. For printing with %.*s. */
struct slice slice_or(struct slice text, size_t max, const char *instead);

/* The text if it is of at most max letters, digits and -_.+ alone, which stand in JSON as they are; else
 * empty, with data not NULL. */
struct slice slice_if_plain(struct slice text, size_t max);

/* Numbers as in the proto's enum InvocationType. */
enum invocation_type {
  INVOCATION_AS_OPTIONS_SAY = 0, /* lambda_invoke */
  INVOCATION_REQUEST_RESPONSE = 1,
  INVOCATION_EVENT = 2,
  INVOCATION_DRY_RUN = 3,
  INVOCATION_ROW = 4,       /* lambda_map and lambda_batch */
  INVOCATION_PING = 5,      /* lambda_ping: the sidecar itself answers */
  INVOCATION_EXECUTION = 6, /* lambda_execution and the callbacks: nothing is invoked */
  INVOCATION_CALLBACK_SUCCESS = 7,
  INVOCATION_CALLBACK_FAILURE = 8
};

/* Numbers as in the proto's enum AnswerForm. */
enum answer_form { ANSWER_AS_IT_IS = 0, ANSWER_JSON = 1 };

/* Numbers as in the proto's enum BatchContract. */
enum batch_contract { BATCH_NONE = 0, BATCH_REDSHIFT = 1, BATCH_SNOWFLAKE = 2, BATCH_BIGQUERY = 3 };

/* Rows of a batch (sidecar: calls/batch/batch.py, ROWS_MAX). */
#define CONTRACT_BATCH_ROWS_MAX 100000u

/* Further requests or answers in one message (proto: more). */
#define CONTRACT_MORE_MAX 63

/* lambda_batch's: the payload is rows, as the proto says. */
struct invoke_batch {
  enum batch_contract contract; /* BATCH_NONE: the request is not of a batch */
  uint32_t rows;
  uint64_t number;
  struct slice query_id, signature;
  bool retry_service_errors;
};

struct invoke_request {
  uint64_t call_id;
  enum invocation_type type;
  uint32_t timeout_ms;
  uint64_t deadline_ms;          /* on wait_clock_ms()'s clock; 0: none */
  struct slice function;         /* or the durable execution's ARN, or the callback's id, which is a secret */
  struct slice options;          /* lambda_invoke's, as JSON text; empty for the other functions */
  struct slice callback_options; /* lambda_callback's and lambda_callback_failure's, as JSON text */
  struct slice durable_name;     /* out of them; empty: the call must not be sent twice */
  struct slice qualifier, region, role, tenant_id; /* the aggregates' options; empty: not given */
  enum answer_form answer_form;
  bool takes_more;     /* its answer may come with others in one message */
  bool fails_together; /* with the first failure the client gives up all calls of the channel that have it */
  struct invoke_batch batch;
  struct slice payload;
  struct slice user, host, schema;
  uint64_t connection_id;
  struct slice traceparent; /* empty: the statement has no trace */
  uint64_t result_max;      /* bytes of an answer that may come in parts; 0: it must come whole */
};

/* Numbers as in the proto's enum ErrorKind. */
enum invoke_error_kind {
  INVOKE_ERROR_UNSPECIFIED = 0,
  INVOKE_ERROR_INVALID = 1,
  INVOKE_ERROR_DENIED = 2,
  INVOKE_ERROR_CREDENTIALS = 3,
  INVOKE_ERROR_NETWORK = 4,
  INVOKE_ERROR_API = 5,
  INVOKE_ERROR_TIMEOUT = 6,
  INVOKE_ERROR_INTERNAL = 7,
  INVOKE_ERROR_OVERLOADED = 10
};

/* Bytes of a request id that is believed: longer than a UUID. */
#define CONTRACT_REQUEST_ID_MAX 64u

/* An answer of Lambda: the seven fields of the proto's InvokeResult, which says what each is. */
struct invoke_result {
  uint32_t status_code;
  struct slice request_id;
  struct slice executed_version;
  struct slice function_error; /* empty unless the function raised */
  struct slice function_error_text;
  struct slice log_tail;
  struct slice payload;
};

/* Why there is no answer of Lambda: the proto's InvokeError. */
struct invoke_error {
  uint32_t kind; /* enum invoke_error_kind, or the number of a newer sidecar */
  struct slice code;
  struct slice message;
  struct slice request_id;
};

/* All slices point into the bytes that were decoded. */
struct invoke_response {
  uint64_t call_id;
  uint64_t queued_us; /* that the call waited in the sidecar for a slot */
  struct slice part;  /* if it is not empty nothing else counts: more of the call's responses follow */
  bool is_error;      /* then error counts, otherwise result */
  size_t more_count;  /* of more: each is a message for contract_decode() of its own */
  struct slice more[CONTRACT_MORE_MAX];
  struct invoke_result result;
  struct invoke_error error;
};

/* Encodes everything but the payload's own bytes: the whole message is *head followed by
 * request->payload, so that megabytes are not copied. *head is the caller's (free()).
 * False: no memory. */
bool contract_encode(const struct invoke_request *request, uint8_t **head, size_t *head_length);

/* Encodes several requests, at most 1 + CONTRACT_MORE_MAX, as one message, in which all is copied. *message
 * is the caller's (free()). False: no memory. */
bool contract_encode_all(const struct invoke_request *const *requests, size_t count, uint8_t **message,
                         size_t *length);

/* A request id, if it is plain: it goes into JSON and onto terminals as it is. */
struct slice contract_checked_id(struct slice id);

/* False: not an InvokeResponse, or one without an outcome or a part. */
bool contract_decode(const uint8_t *bytes, size_t length, struct invoke_response *response);

#endif
