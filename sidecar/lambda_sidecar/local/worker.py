"""One worker: a process that runs one function under its runtime, one invocation at a time.
Knows nothing of concurrency, retries or the Invoke API."""

from __future__ import annotations

import asyncio
import datetime
import logging
import math
import os
import secrets
import shutil
import time
from pathlib import Path
from typing import Any

from lambda_sidecar.local.function import Function
from lambda_sidecar.local.invocation import (
    UNHANDLED,
    Invocation,
    Outcome,
    error_document,
    exit_document,
    exit_text,
    timeout_document,
)
from lambda_sidecar.local.output import Output
from lambda_sidecar.local.process import WorkerProcess
from lambda_sidecar.local.runtime_api import RuntimeApi
from lambda_sidecar.quotas import INIT_MAX_SECONDS

_logger = logging.getLogger(__name__)
# A runtime asks for its next event within a millisecond of its answer. One that takes longer is not waited
# for: its answer is delivered, and it is used again once it asks.
_SETTLE_SECONDS = 0.1
_KILL_SECONDS = 10.0  # how long a killed process may take to be gone


class InitFailed(Exception):
    """The function could not be initialised: its import failed, its process ended, or it took too long."""

    def __init__(self, document: bytes | None, error_type: str, text: str, log: bytes) -> None:
        super().__init__(error_type)
        self._document, self._error_type, self._text = document, error_type, text
        self._log = log

    def outcome(self, request_id: str) -> Outcome:
        """The outcome for the invocation that needed this worker."""
        document = self._document or error_document(
            self._error_type, f"RequestId: {request_id} Error: {self._text}"
        )
        return Outcome(payload=document, function_error=True, log=self._log)


class Worker:
    """Made by start(); always ended by stop()."""

    def __init__(self, function: Function, region: str, folder: Path) -> None:
        self.function = function
        self._region = region
        self._folder = folder  # its private HOME and TMPDIR
        self._api = RuntimeApi()
        self._process: WorkerProcess | None = None
        self._init_seconds: float | None = None  # until the first REPORT line has it

    @classmethod
    async def start(cls, function: Function, region: str, folder: Path) -> Worker:
        """A worker that waits for its first event. Raises InitFailed, or OSError if the machine is full."""
        worker = cls(function, region, folder)
        try:
            await worker._start()
        except BaseException:
            await worker.stop()
            raise
        return worker

    @property
    def idle(self) -> bool:
        """Whether it can take an event now."""
        return self.alive and self._api.waiting

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and not self._process.exited.done()

    @property
    def exited(self) -> asyncio.Future[int]:
        """Ends with its process."""
        return self._running.exited

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Runs one invocation to its end: answer, exit or timeout. After a timeout the worker is killed."""
        process, timeout = self._running, self.function.timeout
        request_id = invocation.request_id
        process.log.write(f"START RequestId: {request_id} Version: $LATEST\n".encode())
        invocation.started = time.time()
        started = time.monotonic()
        answer = self._api.hand_over(invocation, invocation.started + timeout)
        await _first(timeout, answer, process.exited)
        if answer.done() and answer.result().cut_off:
            await _first(_SETTLE_SECONDS, process.exited)
        seconds = time.monotonic() - started
        memory = process.max_memory_mb() if invocation.wants_log else 0
        status, note = "", ""
        if answer.done() and not (answer.result().cut_off and process.exited.done()):
            payload, is_error = answer.result().payload, answer.result().is_error
            code = answer.result().error_code
            if is_error:
                status = "Status: error"
            await self.settle(_SETTLE_SECONDS)
        elif process.exited.done():
            returned = process.exited.result()
            payload, is_error = exit_document(request_id, returned), True
            code = _error_code(invocation, "Runtime.ExitError")
            status = "Status: error\tError Type: Runtime.ExitError"
            note = f"RequestId: {request_id} Error: {exit_text(returned)}\nRuntime.ExitError\n"
        else:
            process.kill()
            payload, is_error = timeout_document(request_id, timeout), True
            code = _error_code(invocation, "Sandbox.Timedout")
            status = "Status: timeout"
            stamp = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")[:-6]
            note = f"{stamp}Z {request_id} Task timed out after {timeout:.2f} seconds\n\n"
        self._api.forget()
        process.drain()
        process.log.write((note + self._report(request_id, seconds, memory) + f"{status}\n").encode())
        return Outcome(payload=payload, function_error=is_error, error_code=code, log=process.log.take())

    async def settle(self, seconds: float) -> None:
        """Waits until it can take an event again or has ended, at most that long."""
        await _first(seconds, self._api.ready, self.exited)

    async def stop(self) -> None:
        """Kills the process with all it started, closes its port, removes its folder. Safe to call twice."""
        if self._process is not None and self.alive:
            self._process.kill()
            await _first(_KILL_SECONDS, self._process.exited)
            if self.alive:
                _logger.error(
                    "local Lambda: worker %d of %s cannot be killed", self._process.pid, self.function.name
                )
        await self._api.close()
        try:
            self._folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:  # not empty
            await asyncio.to_thread(shutil.rmtree, self._folder, onerror=_not_removed)

    @property
    def _running(self) -> WorkerProcess:
        if self._process is None:
            raise RuntimeError("the worker was never started")
        return self._process

    async def _start(self) -> None:
        await self._api.start()
        self._folder.mkdir(mode=0o700)
        function = self.function
        started = time.monotonic()
        process = self._process = WorkerProcess(
            list(function.runtime.command), self._environment(), function.folder, Output(function.name)
        )
        await _first(INIT_MAX_SECONDS, self._api.ready, self._api.init_error, process.exited)
        self._init_seconds = time.monotonic() - started
        if self._api.ready.done():
            _logger.debug("worker %d of %s started in %.3f s", process.pid, function.name, self._init_seconds)
            return
        process.drain()
        log = process.log.take()
        if self._api.init_error.done():
            raise InitFailed(self._api.init_error.result(), "Runtime.InitError", "", log)
        if process.exited.done():
            raise InitFailed(None, "Runtime.ExitError", exit_text(process.exited.result()), log)
        raise InitFailed(
            None, "Sandbox.Timedout", f"Task timed out after {INIT_MAX_SECONDS:.2f} seconds", log
        )

    def _environment(self) -> dict[str, str]:
        # From scratch: nothing of the sidecar's environment but where programs are found. Names and meaning:
        # "Defined runtime environment variables",
        # https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
        function, now = self.function, datetime.datetime.now(datetime.UTC)
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "TZ": ":UTC",
            "HOME": str(self._folder),
            "TMPDIR": str(self._folder),
            "PYTHONPATH": str(function.folder),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",  # the functions folder stays as its owner wrote it
            **dict(function.environment),
            "_HANDLER": function.handler,
            "LAMBDA_TASK_ROOT": str(function.folder),
            "AWS_REGION": self._region,
            "AWS_DEFAULT_REGION": self._region,
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": f"{now:%Y/%m/%d}/[$LATEST]{secrets.token_hex(16)}",
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
        }
        if function.runtime.execution_environment is not None:
            environment["AWS_EXECUTION_ENV"] = function.runtime.execution_environment
        return environment

    def _report(self, request_id: str, seconds: float, memory: int) -> str:
        # The REPORT line: "Viewing CloudWatch logs for Lambda". Billed is the duration in whole milliseconds.
        init, self._init_seconds = self._init_seconds, None
        report = (
            f"END RequestId: {request_id}\n"
            f"REPORT RequestId: {request_id}\tDuration: {seconds * 1000:.2f} ms\t"
            f"Billed Duration: {math.ceil((seconds + (init or 0)) * 1000)} ms\t"
            f"Memory Size: {self.function.memory_size} MB\tMax Memory Used: {memory} MB"
        )
        return report + (f"\tInit Duration: {init * 1000:.2f} ms\t" if init is not None else "\t")


def _error_code(invocation: Invocation, error_type: str) -> str:
    """How the end of a streamed answer names an error: by its type where parts have gone before it."""
    return error_type if invocation.parts is not None and invocation.parts.begun else UNHANDLED


async def _first(seconds: float, *futures: asyncio.Future[Any]) -> None:
    await asyncio.wait(futures, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)


def _not_removed(_function: object, path: str, error: object) -> None:
    _logger.warning("local Lambda: cannot remove %s", path)
