"""The host program of tests/c/host.c: builds it with the library, gives it commands, reads its answers.

Knows host.c's lines; nothing of what listens on the socket."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

from tests.support.checkout import ROOT

BUILD = Path(os.environ.get("LAMBDA_UDF_BUILD") or ROOT / "build")
PROGRAMS = BUILD / "tests"
PLAIN = BUILD / "lambda_udf.so"
SANITIZED = BUILD / "sanitized" / "lambda_udf.so"
# What mysqld raises, and the flag of an error that no CONTINUE HANDLER catches.
ER_SPECIFIC_ACCESS_DENIED_ERROR = 1227
ER_QUERY_INTERRUPTED = 1317
ER_QUERY_TIMEOUT = 3024
ER_UDF_ERROR = 3200
ME_FATALERROR = 1024
# enum enum_vio_type
NO_VIO, VIO_TCPIP, VIO_SOCKET, VIO_SSL, VIO_LOCAL, VIO_PLUGIN = 0, 1, 2, 4, 6, 7
# thd_status
SESSION_KILLED, QUERY_KILLED, QUERY_TIMEOUT = 2, 8, 16


@cache
def build() -> None:
    """Both libraries and the C programs; does nothing where all is up to date."""
    done = subprocess.run(
        ["make", "-C", ROOT / "tests" / "c", f"BUILD={BUILD}", f"PYTHON={sys.executable}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True)
class Answer:
    """How a call ended. `milliseconds` as the host program measured them."""

    outcome: str
    """ok, error (raised in the row) or refused (by the init function)."""
    milliseconds: int = 0
    text: bytes = b""
    """The result's first 512 bytes, or the message: the arguments of the error, joined by |."""
    length: int = 0
    errno: int = 0
    flags: int = 0

    @property
    def message(self) -> str:
        """The error's text; every message must be UTF-8."""
        return self.text.decode("utf-8")


@dataclass(frozen=True)
class Concat:
    """CONCAT(prefix, text, id, suffix); the column text has `growth` letters more in each row, none in the first. Bytes
    that are not UTF-8 are surrogates, as surrogateescape makes them."""

    prefix: str
    suffix: str = ""
    growth: int = 0

    def value(self, row: int) -> str:
        return f"{self.prefix}{'x' * self.growth * (row - 1)}{row}{self.suffix}"

    def __str__(self) -> str:
        return f"{_bytes(self.prefix).hex()},{_bytes(self.suffix).hex()},{self.growth}"


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


class Host:
    """One host program. Leaving it unloads the library and fails on a leak, an open descriptor, a service
    that was not released, or a sanitizer's report."""

    def __init__(
        self,
        socket: Path,
        *,
        timeout_ms: int = 10_000,
        connect_timeout_ms: int = 1_000,
        result_max_bytes: int | str = "",
        lacks: str = "",
    ) -> None:
        build()
        settings = {
            "LAMBDA_UDF_SOCKET": str(socket),
            "LAMBDA_UDF_TIMEOUT_MS": str(timeout_ms),
            "LAMBDA_UDF_CONNECT_TIMEOUT_MS": str(connect_timeout_ms),
            "LAMBDA_UDF_RESULT_MAX_BYTES": str(result_max_bytes),
        }
        self._start(settings, [lacks] if lacks else [])

    def _start(self, settings: Mapping[str, str], arguments: list[str]) -> None:
        self._program = subprocess.Popen(
            [PROGRAMS / "host", SANITIZED, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                **os.environ,
                **settings,
                "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0",
                "UBSAN_OPTIONS": "print_stacktrace=1",
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.unload()
        finally:
            self._program.kill()
            self._program.communicate()

    def unload(self) -> None:
        """Unload the library and end the program; asserts that nothing was left behind."""
        answer = self.command("unload")
        report = self._end()
        assert answer == ["unloaded", "0", "0", "0", "0"], f"{answer}\n{report}"
        assert (self._program.returncode, report) == (0, "")

    def _end(self) -> str:
        _, report = self._program.communicate(timeout=30)
        return report.decode(errors="replace")

    def command(self, *fields: str | int, seconds: float = 60) -> list[str]:
        """One command, one answer; fails with the program's own words if it died."""
        stdin, stdout = self._program.stdin, self._program.stdout
        assert stdin and stdout
        try:
            stdin.write("\t".join(map(str, fields)).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            raise AssertionError(f"the host program died: {self._end()}") from None
        line = b""
        deadline = time.monotonic() + seconds
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([stdout], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"the host program did not answer {fields[:2]} within {seconds} s"
            more = os.read(stdout.fileno(), 65536)
            assert more, f"the host program died: {self._end()}"
            line += more
        return line.decode().rstrip("\n").split("\t")

    def call(self, function: str, *arguments: str | bytes | int | None, seconds: float = 60) -> Answer:
        """One statement with one row. An int is a JSON string of so many bytes, None is NULL."""
        return _answer(self.command("call", function, *map(_argument, arguments), seconds=seconds))

    def map(
        self, *arguments: str | Concat, count: int, collation: str = "utf8mb4_0900_ai_ci", seconds: float = 60
    ) -> Answer:
        """One statement of lambda_map over `count` rows of one group, handed over as `rows` says."""
        fields = [_expression(argument) for argument in arguments]
        return _answer(self.command("map", collation, count, *fields, seconds=seconds))

    def batch(
        self, *arguments: str | Concat, count: int, collation: str = "utf8mb4_0900_ai_ci", seconds: float = 60
    ) -> Answer:
        """The same of lambda_batch."""
        fields = [_expression(argument) for argument in arguments]
        return _answer(self.command("batch", collation, count, *fields, seconds=seconds))

    def rows(
        self,
        *arguments: str | Concat,
        count: int,
        collation: str = "utf8mb4_0900_ai_ci",
        function: str = "lambda_sync",
    ) -> list[bytes]:
        """One statement of the function over `count` rows, their ids counted from 1: the first 512 bytes of each
        result, or ! and the error's. Handed over as 9.x does, without mysql_system_variable_reader as 8.4."""
        fields = [_expression(argument) for argument in arguments]
        _, *results = self.command("rows", function, collation, count, *fields)
        return [b"!" * r.startswith("!") + bytes.fromhex(r.removeprefix("!")) for r in results]

    def sync(self, name: str = "Echo", payload: str | bytes | int | None = "{}") -> Answer:
        return self.call("lambda_sync", name, payload)

    def interrupt(self, status: int, milliseconds: int) -> None:
        """The next call's session gets this thd_status, so long after its start (0: before)."""
        self.command("interrupt", status, milliseconds)

    def client(self, kind: int, milliseconds: int, act: str) -> None:
        """The next call's session has a client of this enum_vio_type, which does one of these so long after the
        start: "close", "half" (stop sending), "send" (bytes ahead); "kill": KILL CONNECTION closes its socket."""
        self.command("client", kind, milliseconds, act)

    def cpu_seconds(self) -> float:
        """What the program has used of the processors so far (proc(5), stat: utime, stime)."""
        fields = Path(f"/proc/{self._program.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def hint(self, calls: int, *, threads: int = 1) -> tuple[int, int]:
        """So many statements with lambda_outbox_hint() in all: milliseconds, and how many datagrams left."""
        _, milliseconds, sent = self.command("hint", calls, threads)
        return int(milliseconds), int(sent)

    def load(
        self, *, calls: int, threads: int, rows: int, payload: str | int = '{"n": 1}', seconds: float = 120
    ) -> int:
        """`calls` of lambda_sync('Echo', payload) on so many threads, `rows` in each statement; every
        result must be the payload. Milliseconds."""
        fields = ("load", "lambda_sync", _argument("Echo"), _argument(payload), calls, threads, rows)
        _, milliseconds, failed, failure = self.command(*fields, seconds=seconds)
        assert failed == "0", f"{failed} calls failed, one with: {bytes.fromhex(failure).decode()}"
        return int(milliseconds)


def _argument(value: str | bytes | int | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"*{value}"
    return (value.encode() if isinstance(value, str) else value).hex()


def _expression(argument: str | Concat) -> str:
    return str(argument) if isinstance(argument, Concat) else argument.encode().hex()


def _answer(fields: list[str]) -> Answer:
    match fields:
        case ["ok", milliseconds, length, text]:
            return Answer("ok", int(milliseconds), bytes.fromhex(text), length=int(length))
        case ["error", milliseconds, errno, flags, text]:
            return Answer("error", int(milliseconds), bytes.fromhex(text), errno=int(errno), flags=int(flags))
        case ["refused", text]:
            return Answer("refused", text=bytes.fromhex(text))
    raise AssertionError(f"not an answer: {fields}")
