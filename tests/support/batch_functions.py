"""Functions for lambda_batch as a scripted endpoint plays them, and ways to look at the events that came.

Knows the contracts' fields; nothing of SQL."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.scripted_lambda import Answer, Arrival, ScriptedLambda, answering, scripted_lambda
from tests.support.stack import Build, Stack, start_stack


class Number(str):
    """A number of a JSON text, digit by digit."""


def exactly(text: bytes) -> Any:
    """What a JSON text says, with numbers as they are written."""
    return json.loads(text, parse_float=Number, parse_int=Number)


def per_row(result: Callable[[list[Any]], Any]) -> Callable[[Arrival], Answer]:
    """A function of Redshift's contract that answers each row with a result."""

    def script(arrival: Arrival) -> Answer:
        rows = json.loads(arrival.payload)["arguments"]
        return answering(json.dumps({"success": True, "results": [result(row) for row in rows]}).encode())

    return script


@dataclass(frozen=True)
class BatchStack:
    """A stack in front of a scripted endpoint."""

    stack: Stack
    endpoint: ScriptedLambda

    def batches(self, function: str) -> list[list[Any]]:
        """The rows of each event of Redshift's contract, numbers as they were written."""
        return [exactly(payload)["arguments"] for payload in self.endpoint.payloads(function)]

    def results(self, sql: str) -> Any:
        """What the one value of a statement says."""
        value = self.stack.value(sql)
        return None if value is None else json.loads(value)


@contextlib.contextmanager
def batch_stack(mysql_home: Path, directory: Path, library: Build) -> Iterator[BatchStack]:
    """The function `echo` answers each row with its columns; others are the tests'."""
    with (
        scripted_lambda() as endpoint,
        start_stack(mysql_home, directory, library, endpoint_url=endpoint.url) as stack,
    ):
        endpoint.script("echo", per_row(lambda row: row))
        yield BatchStack(stack, endpoint)
