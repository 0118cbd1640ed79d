"""Functions that stream, and a real client of AWS's that reads them, for the tests in this folder.
Knows nothing of a single test."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.local.local_support import Running
from tests.support.streaming_bootstrap import body

BOOTSTRAP = Path(__file__).parents[1] / "support/streaming_bootstrap.py"


def write_streaming(functions: Path, settings: str = "timeout = 30") -> None:
    """The function Stream of tests/support/streaming_bootstrap.py."""
    (functions / "Stream").mkdir()
    shutil.copy(BOOTSTRAP, functions / "Stream/bootstrap")
    (functions / "Stream/function.toml").write_text(settings)


@dataclass
class Read:
    """What a client has read: the parts' sizes and their digest, and the members of InvokeComplete."""

    sizes: list[int] = field(default_factory=list)
    digest: Any = field(default_factory=hashlib.sha256)
    complete: dict[str, str] | None = None

    async def rest(self, events: Iterator[dict[str, Any]]) -> None:
        """Takes the events until the last; nothing of them is kept."""

        def take_all() -> None:
            for event in events:
                self.take(event)

        await asyncio.to_thread(take_all)

    def take(self, event: dict[str, Any]) -> None:
        assert self.complete is None
        if "PayloadChunk" in event:
            part = event["PayloadChunk"]["Payload"]
            self.sizes.append(len(part))
            self.digest.update(part)
        else:
            self.complete = event["InvokeComplete"]

    @property
    def error(self) -> tuple[str | None, Any]:
        """ErrorCode, and ErrorDetails as JSON if that is what it is."""
        assert self.complete is not None
        details = self.complete.get("ErrorDetails", "null")
        return self.complete.get("ErrorCode"), json.loads(details) if details[:1] in "{n" else details


@asynccontextmanager
async def begun(
    local: Running, name: str, event: object, **more: Any
) -> AsyncIterator[tuple[Any, Iterator[dict[str, Any]]]]:
    """botocore's response, which has come with the first part, and its iterator of events."""
    response = await asyncio.to_thread(
        local.client.invoke_with_response_stream, FunctionName=name, Payload=json.dumps(event), **more
    )
    try:
        yield response, iter(response["EventStream"])
    finally:
        response["EventStream"].close()


async def stream(local: Running, name: str, event: object, **more: Any) -> Read:
    """The whole answer."""
    read = Read()
    async with begun(local, name, event, **more) as (_, events):
        await read.rest(events)
    assert read.complete is not None
    return read


def digest_of(size: int) -> bytes:
    whole = hashlib.sha256()
    for part in body(size):
        whole.update(part)
    return whole.digest()
