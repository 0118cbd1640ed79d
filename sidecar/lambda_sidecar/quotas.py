"""Lambda's quotas, each with its source: sizes in bytes, times in seconds, lengths in characters.

Numbers alone; knows nothing of who is held to them. A test compares them with those of the library (udf/)."""

from __future__ import annotations

# "Lambda quotas", invocation payload: 6 MB for a synchronous request, 1 MB for an asynchronous one (256 KB
# until October 2025). https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
REQUEST_RESPONSE_MAX = 6_291_456
EVENT_MAX = 1_048_576
# What a function may return: 100 more than a request, by the text of Lambda's own error ("exceeded maximum
# allowed payload size (6291556 bytes)").
RESPONSE_MAX = 6_291_556

# API reference, Invoke: X-Amz-Client-Context, in base64; X-Amz-Log-Result, "the last 4 KB of the log".
CLIENT_CONTEXT_MAX = 3_583
LOG_TAIL_MAX = 4_096

# botocore's model of Lambda: NamespacedFunctionName, whether name or ARN; a qualifier, in it or beside it
# (NumericLatestPublishedOrAliasQualifier); DurableExecutionArn.
FUNCTION_NAME_MAX = 256
QUALIFIER_MAX = 128
DURABLE_EXECUTION_ARN_MAX = 1_024

# "Configure Lambda function timeout": 3 seconds unless configured; "Lambda quotas", function timeout: 900.
TIMEOUT_DEFAULT_SECONDS = 3.0
TIMEOUT_MAX_SECONDS = 900.0
# "Lambda runtime environment lifecycle": the Init phase is limited to 10 seconds.
INIT_MAX_SECONDS = 10.0
# "Configure Lambda function memory", in MB: 128 unless configured, and no less; 10,240 at most.
MEMORY_DEFAULT_MB = 128
MEMORY_MIN_MB = 128
MEMORY_MAX_MB = 10_240
# Bytes of a callback's result (botocore's model of lambda 2015-03-31, BinaryOperationPayload); an error's are
# not limited there, and get the same.
CALLBACK_RESULT_MAX = EVENT_MAX
