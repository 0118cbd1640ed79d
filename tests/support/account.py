"""The account of AWS that tests speak of, and what is in it.

Knows names alone: imports nothing of the project."""

from __future__ import annotations

ACCOUNT_ID = "123456789012"
REGION = "us-east-1"
ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:"
ROLE = f"arn:aws:iam::{ACCOUNT_ID}:role/"
