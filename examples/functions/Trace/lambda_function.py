"""Returns the header of the trace that its invocation belongs to."""

import os


def lambda_handler(event, context):
    return os.environ["_X_AMZN_TRACE_ID"]
