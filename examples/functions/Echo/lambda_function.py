"""Returns its event."""


def lambda_handler(event, context):
    return event
