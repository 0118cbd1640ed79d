/* Lambda's limits, as far as the library refuses or makes room by them. Numbers alone, each with its source;
 * "quotas" is docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html. */
#ifndef LAMBDA_UDF_QUOTAS_H
#define LAMBDA_UDF_QUOTAS_H

/* Bytes of an invocation's payload, synchronous and asynchronous (quotas: 6 MB and 1 MB). */
#define QUOTA_REQUEST_RESPONSE_MAX 6291456u
#define QUOTA_EVENT_MAX 1048576u
/* Bytes of what a function returns: 100 more than it may be given, by the text of Lambda's own error
 * ("exceeded maximum allowed payload size (6291556 bytes)"). */
#define QUOTA_RESPONSE_MAX 6291556u
/* Bytes of a log's tail (Invoke API, X-Amz-Log-Result). */
#define QUOTA_LOG_TAIL_MAX 4096u
/* Bytes of a function's name or ARN, all of them ASCII (botocore's model, NamespacedFunctionName). */
#define QUOTA_FUNCTION_NAME_MAX 256u
/* Bytes of a durable execution's ARN and of a callback's id (botocore's model, DurableExecutionArn and
 * CallbackId), and of a callback's result (BinaryOperationPayload). */
#define QUOTA_EXECUTION_MAX 1024u
#define QUOTA_CALLBACK_RESULT_MAX 1048576u
/* Bytes of a client context in base64 (Invoke API, X-Amz-Client-Context). */
#define QUOTA_CLIENT_CONTEXT_MAX 3583u
/* Milliseconds that a function may run (quotas: function timeout, 900 seconds). */
#define QUOTA_RUN_MAX_MS 900000u

/* Not Lambda's but ours: bytes of options as JSON. The longest option is client_context; the others, the
 * aggregates' too, need far less. */
#define QUOTA_OPTIONS_MAX 16384u
_Static_assert(4 * QUOTA_CLIENT_CONTEXT_MAX < QUOTA_OPTIONS_MAX, "options must hold a client context");

/* And ours, too: bytes of an answer beside what the function returned. Its log tail needs most, 24 KB
 * where lambda_invoke's document writes each byte as a JSON escape (\u0000); the sidecar counts with the same
 * number. */
#define QUOTA_BESIDE_RESPONSE_MAX 65536u
_Static_assert(6 * QUOTA_LOG_TAIL_MAX < QUOTA_BESIDE_RESPONSE_MAX, "an answer must hold its log tail");

#endif
