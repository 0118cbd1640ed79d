"""The function of Aurora's documentation: lambda_sync('…:BasicTestLambda', '{"operation": "ping"}')."""


def lambda_handler(event, context):
    operation = event.get("operation") if isinstance(event, dict) else None
    if operation == "ping":
        return {"operation": "ping", "message": "pong", "requestId": context.aws_request_id}
    if operation == "echo":
        return {"operation": "echo", "message": event.get("message")}
    return {"operation": operation, "error": "unknown operation; known are ping and echo"}
