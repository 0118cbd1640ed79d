"""Takes its time: {"seconds": 2.5} returns {"slept": 2.5} after 2.5 seconds."""

import time


def lambda_handler(event, context):
    seconds = event.get("seconds", 1)
    time.sleep(seconds)
    return {"slept": seconds}
