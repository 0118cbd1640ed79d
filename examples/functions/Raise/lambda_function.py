"""Fails as a function fails: {"message": "no such customer"} raises ValueError("no such customer")."""


def lambda_handler(event, context):
    raise ValueError(event.get("message", "raised as asked"))
