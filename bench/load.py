"""A load program from outside: starts it, gives it commands, reads what it measured.

Knows the lines of load/driver.h, which the C programs and caller.py speak; not what is called."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

NUMBER_MARK = "@@@@"
"""In requests and expected answers: the session's number, four digits."""


RESULT_SECONDS = 120
"""No run takes so long; who runs longer asks `is_done`."""


class WrongAnswer(Exception):
    """A call failed or was answered with something else than expected. The bench ends with it."""


@dataclass(frozen=True)
class Figures:
    """The figures of one run. Latencies in microseconds, as the caller saw them."""

    calls: int
    seconds: float
    p50_us: float
    p90_us: float
    p99_us: float
    max_us: float
    answers: str
    """crc32 of each session's last answer, in the order of sessions."""

    @property
    def per_second(self) -> float:
        return self.calls / self.seconds


class Load:
    """One load program and its sessions; connected when it is made."""

    def __init__(
        self, name: str, command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._files = tempfile.TemporaryDirectory(prefix="lambda-udf-load-")
        self._program = subprocess.Popen(
            [*map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        try:
            self._expect("connected")
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._program.pid

    def prepare(
        self,
        sessions: int,
        request: str,
        expected: str,
        *,
        calls: int = 0,
        seconds: float = 0,
        warmup: int = 0,
        function: str = "echo",
        kind: str = "RequestResponse",
    ) -> None:
        """Threads are there and warm; follow with `start`. `calls` are per session, 0: for `seconds`."""
        files = []
        for name, text in (("request", request), ("expected", expected)):
            files.append(Path(self._files.name) / name)
            files[-1].write_text(text, encoding="utf-8")
        self._say("prepare", sessions, calls, seconds, warmup, function, kind, *files)
        self._expect("ready")

    def start(self) -> None:
        """All sessions call; follow with `result`."""
        self._say("go")

    def is_done(self, *, within: float) -> bool:
        """Whether `result` has something to read, waiting so many seconds at most."""
        assert self._program.stdout  # noqa: S101  it was asked for
        return bool(select.select([self._program.stdout], [], [], within)[0])

    def result(self) -> Figures:
        """Waits for the end of the run. Raises WrongAnswer if one call went wrong."""
        if not self.is_done(within=RESULT_SECONDS):
            raise WrongAnswer(f"{self.name}: a call had no answer within {RESULT_SECONDS} s")
        figures = json.loads(self._line())
        failed, failure = figures.pop("failed"), figures.pop("failure")
        if failed:
            raise WrongAnswer(f"{self.name}: {failed} session(s) failed; the last: {failure}")
        return Figures(**figures)

    def run(self) -> Figures:
        self.start()
        return self.result()

    def close(self) -> None:
        """Ends the program; its sessions disconnect."""
        if self._program.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._program.stdin.close()
        try:
            self._program.wait(10)
        except subprocess.TimeoutExpired:
            pass  # its sessions wait for answers that do not come; whoever closes knows, or has raised
        finally:
            self._program.kill()
            self._program.wait()
            for stream in (self._program.stdout, self._program.stderr):
                if stream:
                    stream.close()
            self._files.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _say(self, *fields: object) -> None:
        assert self._program.stdin  # noqa: S101  it was asked for
        self._program.stdin.write("\t".join(map(str, fields)) + "\n")
        self._program.stdin.flush()

    def _expect(self, word: str) -> None:
        if (line := self._line()) != word:
            raise WrongAnswer(f"{self.name}: said {line!r} instead of {word!r}")

    def _line(self) -> str:
        assert self._program.stdout and self._program.stderr  # noqa: S101  they were asked for
        line = self._program.stdout.readline()
        if not line:
            raise WrongAnswer(f"{self.name}: the program ended: {self._program.stderr.read().strip()}")
        return line.rstrip("\n")
