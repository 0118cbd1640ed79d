"""AWS's own emulator of durable executions as a process: it keeps executions, checkpoints and callbacks, and has handlers
run at a Lambda endpoint.

Knows how it is started and how an execution begins there; asserts nothing."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.support.account import ACCOUNT_ID, REGION
from tests.support.waiting import wait_until

_START = "from aws_durable_execution_sdk_python_testing.cli import main; import sys; sys.exit(main())"


@contextlib.contextmanager
def durable_emulator(directory: Path, port: int, lambda_endpoint: str) -> Iterator[str]:
    """Its URL, which has the operations on durable executions, and not Invoke. Its log is in `directory`."""
    url = f"http://127.0.0.1:{port}"
    words = ["start-server", "--host", "127.0.0.1", "--port", str(port), "--lambda-endpoint", lambda_endpoint]
    keys = {"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "secret", "HOME": str(directory)}
    with (directory / "emulator.log").open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-c", _START, *words, "--local-runner-region", REGION],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=keys,
            cwd=directory,
        )
    try:
        wait_until(lambda: _answers(url), what="the emulator", seconds=60)
        yield url
    finally:
        server.terminate()
        server.wait(20)


def start_execution(url: str, function: str, name: str, event: object) -> str:
    """The new execution's ARN."""
    wanted = {
        "AccountId": ACCOUNT_ID,
        "FunctionName": function,
        "FunctionQualifier": "$LATEST",
        "ExecutionName": name,
        "ExecutionTimeoutSeconds": 300,
        "ExecutionRetentionPeriodDays": 1,
        "Input": json.dumps(event),
    }
    request = urllib.request.Request(  # noqa: S310  a fixed scheme and host
        f"{url}/start-durable-execution", json.dumps(wanted).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        arn: str = json.loads(answer.read())["ExecutionArn"]
    return arn


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/health", timeout=5).close()  # noqa: S310
    except OSError:
        return False
    return True
