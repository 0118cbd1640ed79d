"""Durable executions of AWS's SDK, kept by AWS's own emulator, and run by the local Lambda: SQL
resumes them.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import json
import textwrap
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import mysql.connector
import pytest
from tests.support.durable_emulator import durable_emulator, start_execution
from tests.support.stack import Library, Stack, local_config, start_stack
from tests.support.waiting import wait_until

from lambda_sidecar.testing.ports import free_port
from lambda_sidecar.testing.sidecar import SidecarProcess

APPROVAL = """
    import pathlib
    from aws_durable_execution_sdk_python import DurableContext, durable_execution

    @durable_execution
    def lambda_handler(event, context: DurableContext):
        callback = context.create_callback(name="approval")
        pathlib.Path(event["file"]).write_text(callback.callback_id)
        return {"order": event["order"], "answer": callback.result()}
"""
TRIGGER = """
    CREATE TRIGGER approved AFTER UPDATE ON approvals FOR EACH ROW
    IF NEW.approved IS NOT NULL THEN
      IF NEW.approved THEN
        SET @answer = lambda_callback(NEW.callback_id, JSON_OBJECT('by', 'Ada'));
      ELSE
        SET @answer = lambda_callback_failure(NEW.callback_id,
                        JSON_OBJECT('ErrorType', 'Refused', 'ErrorMessage', 'by Ada'));
      END IF;
    END IF
"""


@dataclass
class Workflows:
    """The emulator, which runs handlers at the local Lambda of a sidecar of its own; and the stack before it."""

    stack: Stack
    url: str
    directory: Path

    def begin(self, name: str) -> tuple[str, str]:
        """An execution that waits: its ARN, and its callback's id."""
        file = self.directory / name
        arn = start_execution(self.url, "Approval", name, {"file": str(file), "order": name})
        wait_until(lambda: file.exists() and file.read_text(), seconds=60, what="the callback")
        return arn, file.read_text()

    def look(self, arn: str) -> dict[str, Any]:
        """As the emulator says it: its executions have a UUID in an ARN's place, which lambda_execution refuses."""
        url = f"{self.url}/2025-12-01/durable-executions/{quote(arn, safe='')}"
        with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310
            execution: dict[str, Any] = json.loads(answer.read())
        return execution

    def end(self, arn: str) -> dict[str, Any]:
        """The execution, once it has ended."""
        wait_until(lambda: self.look(arn)["Status"] != "RUNNING", seconds=60, what="the execution's end")
        return self.look(arn)


@pytest.fixture(scope="module", name="workflows")
def _workflows(mysql_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workflows]:
    directory = tmp_path_factory.mktemp("emulator")
    lambda_port, port = free_port(), free_port()
    functions = directory / "functions"
    (functions / "Approval").mkdir(parents=True)
    (functions / "Approval" / "lambda_function.py").write_text(textwrap.dedent(APPROVAL))
    (functions / "Approval" / "function.toml").write_text(
        f"""timeout = 60
[environment]
AWS_ENDPOINT_URL_LAMBDA = "http://127.0.0.1:{port}"
AWS_ACCESS_KEY_ID = "AKIDTEST"
AWS_SECRET_ACCESS_KEY = "secret"
"""
    )
    runs = SidecarProcess(directory / "functions-sidecar", local_config(lambda_port, functions))
    with (
        runs,
        durable_emulator(directory, port, f"http://127.0.0.1:{lambda_port}") as url,
        start_stack(mysql_home, directory / "stack", Library.PLAIN, endpoint_url=url) as stack,
    ):
        stack.create_database()
        stack.query("CREATE TABLE approvals (callback_id TEXT, approved BOOL)")
        stack.query(TRIGGER)
        yield Workflows(stack, url, directory)


def test_an_update_resumes_an_execution_that_waits_for_it(workflows: Workflows) -> None:
    stack = workflows.stack
    arn, callback = workflows.begin("order-1")
    waiting = workflows.look(arn)
    assert (waiting["Status"], waiting["DurableExecutionName"]) == ("RUNNING", "order-1")
    stack.query("INSERT INTO approvals VALUES (%s, NULL)", (callback,))
    stack.query("UPDATE approvals SET approved = TRUE WHERE callback_id = %s", (callback,))
    ended = workflows.end(arn)
    assert ended["Status"] == "SUCCEEDED"
    result = json.loads(ended["Result"])
    assert (result["order"], json.loads(result["answer"])) == ("order-1", {"by": "Ada"})


def test_an_update_fails_an_execution_that_waits_for_it(workflows: Workflows) -> None:
    stack = workflows.stack
    arn, callback = workflows.begin("order-2")
    stack.query("INSERT INTO approvals VALUES (%s, NULL)", (callback,))
    stack.query("UPDATE approvals SET approved = FALSE WHERE callback_id = %s", (callback,))
    ended = workflows.end(arn)
    assert ended["Status"] == "FAILED"
    assert "by Ada" in ended["Error"]["ErrorMessage"]


def test_what_the_emulator_refuses_is_the_statements_error(workflows: Workflows) -> None:
    stack = workflows.stack
    arn, callback = workflows.begin("order-3")
    accepted = json.loads(stack.value("SELECT lambda_callback(%s, '1')", (callback,)))
    assert accepted["StatusCode"] == 200
    workflows.end(arn)
    with pytest.raises(mysql.connector.Error, match="Lambda API returned error: ") as refused:
        stack.query("SELECT lambda_callback(%s, '1')", (callback,))
    assert refused.value.errno == 3200
    with pytest.raises(mysql.connector.Error, match="not a durable execution's ARN"):
        stack.query("SELECT lambda_execution(%s)", (arn,))
    assert callback not in stack.sidecar.log_text()
