"""Regular customers pay less. Knows their names from its environment, and nothing of orders."""

import os


def lambda_handler(event: dict[str, str], _context: object) -> dict[str, int]:
    return {"percent": 10 if event["customer"] in os.environ["REGULARS"].split(",") else 0}
