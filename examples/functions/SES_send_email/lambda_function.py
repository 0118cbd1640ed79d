"""Sends a mail through Amazon SES: {"email_from": …, "email_to": …, "email_subject": …, "email_body": …}."""

import boto3

# Once per worker: making a client costs far more than sending a mail.
ses = boto3.client("ses")


def SES_send_email(event, context):
    sent = ses.send_email(
        Source=event["email_from"],
        Destination={"ToAddresses": [event["email_to"]]},
        Message={
            "Subject": {"Data": event["email_subject"], "Charset": "UTF-8"},
            "Body": {"Text": {"Data": event["email_body"], "Charset": "UTF-8"}},
        },
    )
    return {"MessageId": sent["MessageId"]}
