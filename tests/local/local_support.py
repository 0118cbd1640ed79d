"""Starts local Lambdas for the tests in this folder, writes functions, and calls them through boto3.
Knows nothing of a single test."""

from __future__ import annotations

import asyncio
import base64
import json
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import boto3
from botocore.config import Config

from lambda_sidecar.local import LocalLambda, LocalLambdaSettings

EXAMPLES = Path(__file__).parents[2] / "examples" / "functions"
SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=test/20261123/us-east-1/lambda/aws4_request"}
# Blocks in the worker until a file is there: {"go": path, "started": path or nothing}.
WAIT_FOR_FILE = """
    import os, pathlib, time
    def lambda_handler(event, context):
        if event.get("started"):
            pathlib.Path(event["started"]).touch()
        while not os.path.exists(event["go"]):
            time.sleep(0.005)
        return os.getpid()
"""
PID = """
    import os
    def lambda_handler(event, context):
        return os.getpid()
"""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What boto3's invoke returned, read to its end."""

    status: int
    raw: bytes
    error: str | None
    log: str | None
    version: str | None
    request_id: str

    @property
    def value(self) -> Any:
        return json.loads(self.raw)


class Running:
    """One started local Lambda and a boto3 client for it."""

    def __init__(self, service: LocalLambda, http: aiohttp.ClientSession) -> None:
        self.service = service
        self.http = http
        config = Config(retries={"total_max_attempts": 1}, max_pool_connections=32, read_timeout=60)
        self.client = boto3.client(
            "lambda",
            endpoint_url=service.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=config,
        )

    async def invoke(
        self, name: str, payload: Any = None, *, raw: bytes | None = None, **more: Any
    ) -> Answer:
        """Invokes with the payload as JSON, or with `raw` as it is."""
        if raw is not None:
            more["Payload"] = raw
        elif payload is not None:
            more["Payload"] = json.dumps(payload)

        def call() -> Answer:
            got = self.client.invoke(FunctionName=name, **more)
            log = got.get("LogResult")
            return Answer(
                status=got["StatusCode"],
                raw=got["Payload"].read(),
                error=got.get("FunctionError"),
                log=None if log is None else base64.b64decode(log).decode(),
                version=got.get("ExecutedVersion"),
                request_id=got["ResponseMetadata"]["RequestId"],
            )

        return await asyncio.to_thread(call)

    async def error(self, name: str, payload: Any = None, **more: Any) -> dict[str, Any]:
        """The error document of an invocation that the API refuses, with its HTTP status."""
        try:
            answer = await self.invoke(name, payload, **more)
        except self.client.exceptions.ClientError as error:
            response: dict[str, Any] = error.response
            return {
                "status": response["ResponseMetadata"]["HTTPStatusCode"],
                "class": type(error).__name__,
                **response["Error"],
                **{key: response[key] for key in ("Reason", "Type") if key in response},
            }
        raise AssertionError(f"{name} was invoked: {answer}")

    async def record(self, function: str | None = None) -> list[dict[str, Any]]:
        """The recorded invocations."""
        query = {} if function is None else {"function": function}
        got: list[dict[str, Any]] = await self.local("invocations", **query)
        return got

    async def local(self, what: str, **query: str) -> Any:
        """GET /_local/…"""
        url = f"{self.service.endpoint}/_local/{what}"
        async with self.http.get(url, params=query, headers=SIGNED) as response:
            assert response.status == 200
            return await response.json()


@asynccontextmanager
async def running(functions: Path, **settings: Any) -> AsyncIterator[Running]:
    """A local Lambda over that folder, stopped at the end."""
    service = LocalLambda(LocalLambdaSettings(functions=functions, **settings))
    await service.start()
    try:
        async with aiohttp.ClientSession() as http:
            one = Running(service, http)
            try:
                yield one
            finally:
                one.client.close()
    finally:
        await service.stop()


def write_function(functions: Path, name: str, code: str, settings: str = "") -> Path:
    """A Python function's folder, written or written anew."""
    folder = functions / name
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "lambda_function.py").write_text(textwrap.dedent(code))
    if settings:
        (folder / "function.toml").write_text(textwrap.dedent(settings))
    return folder


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")
