"""The rivals: programs that call Lambda's Invoke API through boto3 or aiobotocore, as applications do.

Speaks the lines of load/driver.h, so that load.py drives it like the C programs; knows nothing of lambda-udf.
python -m bench.caller boto3|aiobotocore URL SESSIONS"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import threading
import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiobotocore.session
import boto3
from botocore.config import Config

REGION = "us-east-1"
NUMBER_MARK = b"@@@@"


@dataclass
class Session:
    """One thread or task: what it sends, what it expects, what it has seen."""

    request: bytes
    expected: bytes
    latencies: list[int] = field(default_factory=list)
    """Nanoseconds, one for each call."""
    answer: bytes = b""
    failure: str = ""


@dataclass
class Run:
    """One `prepare` and its `go`."""

    sessions: list[Session]
    calls: int
    seconds: float
    warmup: int
    function: str
    kind: str
    began: int = 0
    failed: bool = False

    def is_over(self, session: Session) -> bool:
        if self.failed:
            return True
        if self.calls:
            return len(session.latencies) >= self.calls
        return time.perf_counter_ns() - self.began >= self.seconds * 1e9

    def check(self, session: Session, answer: bytes) -> None:
        """Compares; comes after the call's time was taken."""
        session.answer = answer
        if answer != session.expected:
            self.fail(
                session,
                f"wrong answer: {len(answer)} bytes, expected {len(session.expected)}: "
                f"{answer[:100]!r} instead of {session.expected[:100]!r}",
            )

    def fail(self, session: Session, why: str) -> None:
        session.failure = why
        self.failed = True

    def report(self, ended: int) -> dict[str, Any]:
        latencies = sorted(latency for session in self.sessions for latency in session.latencies)
        failures = [session.failure for session in self.sessions if session.failure]
        checksum = 0
        for session in self.sessions:
            if not session.failure:
                checksum = zlib.crc32(session.answer, checksum)
        return {
            "calls": len(latencies),
            "failed": len(failures),
            "seconds": (ended - self.began) / 1e9,
            "p50_us": percentile(latencies, 0.5),
            "p90_us": percentile(latencies, 0.9),
            "p99_us": percentile(latencies, 0.99),
            "max_us": percentile(latencies, 1),
            "answers": f"{checksum:08x}",
            "failure": failures[-1] if failures else "",
        }


def percentile(ordered: Sequence[int], share: float) -> float:
    """The nearest-rank percentile of nanoseconds, in microseconds; 0 of nothing."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] / 1000 if ordered else 0.0


def read_prepare(fields: Sequence[str]) -> Run:
    count, calls, seconds, warmup, function, kind, request, expected = fields
    texts = Path(request).read_bytes(), Path(expected).read_bytes()
    sessions = []
    for number in range(int(count)):
        mine = [text.replace(NUMBER_MARK, b"%04d" % (number % 10000)) for text in texts]
        sessions.append(Session(request=mine[0], expected=mine[1]))
    return Run(sessions, int(calls), float(seconds), int(warmup), function, kind)


class Caller(ABC):
    """A client that all sessions share."""

    @abstractmethod
    def prepare(self, run: Run) -> None:
        """Start the sessions; done when all have warmed up."""

    @abstractmethod
    def go(self, run: Run) -> None:
        """Let them call, until all are done."""

    def serve(self) -> None:
        """Commands from standard input, until it ends."""
        print("connected", flush=True)
        run: Run | None = None
        for line in sys.stdin:
            command, *fields = line.rstrip("\n").split("\t")
            if command == "prepare" and run is None:
                run = read_prepare(fields)
                self.prepare(run)
                print("ready", flush=True)
            elif command == "go" and run is not None:
                self.go(run)
                print(json.dumps(run.report(time.perf_counter_ns())), flush=True)
                run = None
            else:
                sys.exit(f"caller: unknown command {command!r}")


class Boto3(Caller):
    """One client; threads share it, as boto3's guide allows for clients."""

    def __init__(self, url: str, sessions: int) -> None:
        config = Config(max_pool_connections=sessions, retries={"total_max_attempts": 1})
        self._client = boto3.client("lambda", region_name=REGION, endpoint_url=url, config=config)
        self._threads: list[threading.Thread] = []

    def prepare(self, run: Run) -> None:
        parties = len(run.sessions) + 1
        self._warm, self._start = threading.Barrier(parties), threading.Barrier(parties)
        self._threads = [threading.Thread(target=self._run, args=(run, session)) for session in run.sessions]
        for thread in self._threads:
            thread.start()
        self._warm.wait()

    def go(self, run: Run) -> None:
        run.began = time.perf_counter_ns()
        self._start.wait()
        for thread in self._threads:
            thread.join()

    def _run(self, run: Run, session: Session) -> None:
        for _ in range(run.warmup):
            self._call(run, session)
        session.latencies.clear()
        self._warm.wait()
        self._start.wait()
        while not run.is_over(session):
            self._call(run, session)

    def _call(self, run: Run, session: Session) -> None:
        began = time.perf_counter_ns()
        try:
            response = self._client.invoke(
                FunctionName=run.function, InvocationType=run.kind, Payload=session.request
            )
            answer = response["Payload"].read()
        except Exception as error:  # whatever it is, the run has failed and says why
            run.fail(session, f"{type(error).__name__}: {error}")
            return
        session.latencies.append(time.perf_counter_ns() - began)
        run.check(session, answer)


class Aiobotocore(Caller):
    """One client on one event loop; a task for each session."""

    def __init__(self, url: str, sessions: int) -> None:
        self._loop = asyncio.new_event_loop()
        config = Config(max_pool_connections=sessions, retries={"total_max_attempts": 1})
        self._context = aiobotocore.session.get_session().create_client(
            "lambda", region_name=REGION, endpoint_url=url, config=config
        )

    def serve(self) -> None:
        self._client = self._loop.run_until_complete(self._context.__aenter__())
        try:
            super().serve()
        finally:
            self._loop.run_until_complete(self._context.__aexit__(None, None, None))
            self._loop.close()

    def prepare(self, run: Run) -> None:
        self._loop.run_until_complete(self._all(run, self._warm_up))

    def go(self, run: Run) -> None:
        run.began = time.perf_counter_ns()
        self._loop.run_until_complete(self._all(run, self._run))

    async def _all(self, run: Run, work: Any) -> None:
        await asyncio.gather(*(work(run, session) for session in run.sessions))

    async def _warm_up(self, run: Run, session: Session) -> None:
        for _ in range(run.warmup):
            await self._call(run, session)
        session.latencies.clear()

    async def _run(self, run: Run, session: Session) -> None:
        while not run.is_over(session):
            await self._call(run, session)

    async def _call(self, run: Run, session: Session) -> None:
        began = time.perf_counter_ns()
        try:
            response = await self._client.invoke(
                FunctionName=run.function, InvocationType=run.kind, Payload=session.request
            )
            async with response["Payload"] as body:
                answer = await body.read()
        except Exception as error:  # whatever it is, the run has failed and says why
            run.fail(session, f"{type(error).__name__}: {error}")
            return
        session.latencies.append(time.perf_counter_ns() - began)
        run.check(session, answer)


CALLERS = {"boto3": Boto3, "aiobotocore": Aiobotocore}

if __name__ == "__main__":
    CALLERS[sys.argv[1]](sys.argv[2], int(sys.argv[3])).serve()
