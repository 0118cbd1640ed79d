"""A command of lambda-sidecar whose standard output nobody reads, as `| head -1` does not to its end.

Knows pipes; nothing of the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run_unread(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """With a standard output whose reader has gone already, buffered as it is everywhere."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run(
            [sys.executable, "-m", "lambda_sidecar.cli", *arguments],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        )
    finally:
        os.close(writing)
