"""Publishes a message on the Amazon SNS topic of TOPIC_ARN: {"subject": …, "message": …}."""

import os

import boto3

# Once per worker: making a client costs far more than publishing a message.
sns = boto3.client("sns")
TOPIC_ARN = os.environ["TOPIC_ARN"]


def SNS_publish_message(event, context):
    published = sns.publish(TopicArn=TOPIC_ARN, Subject=event["subject"], Message=event["message"])
    return {"MessageId": published["MessageId"]}
