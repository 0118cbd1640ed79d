"""A restart of the sidecar with long calls under way, as its sessions see it: none of the others' statements fails.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.stack import CREATE_FUNCTIONS, SANITIZER_REPORTS, Library, Record, execute, local_config
from tests.support.waiting import wait_until

from lambda_sidecar.testing.mysqld import Mysqld
from lambda_sidecar.testing.ports import free_port
from lambda_sidecar.testing.sidecar import SidecarProcess

SESSIONS = 4
# What a statement waits for a sidecar: more than one needs to start on a machine that runs other tests. The long calls
# last longer, so whoever waits for their end before he serves again is too late.
CONNECT_SECONDS = 5
LONG_SECONDS = 8


@pytest.fixture(scope="module")
def mysqld(library: Library, mysql_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mysqld]:
    directory = tmp_path_factory.mktemp(f"restart-{library.value}")
    environment = {
        "LAMBDA_UDF_SOCKET": str(directory / "sidecar.sock"),
        "LAMBDA_UDF_CONNECT_TIMEOUT_MS": str(CONNECT_SECONDS * 1000),
        **library.environment(),
    }
    server = Mysqld(mysql_home, directory / "mysql", library=library.path, environment=environment)
    with server:
        with contextlib.closing(server.connect()) as connection:
            for statement in CREATE_FUNCTIONS:
                execute(connection, statement)
        yield server
        log = server.log_text()
    assert not [line for line in log.splitlines() if any(mark in line for mark in SANITIZER_REPORTS)]


def sidecar(mysqld: Mysqld, directory: Path) -> SidecarProcess:
    """On mysqld's socket; its folder and its local Lambda are its own."""
    socket = str(mysqld.directory.parent / "sidecar.sock")
    return SidecarProcess(directory, {"socket": socket, **local_config(free_port())})


def long_call(mysqld: Mysqld) -> str:
    with contextlib.closing(mysqld.connect()) as connection:
        sql = f"""SELECT lambda_sync('Sleep', '{{"seconds": {LONG_SECONDS}}}')"""
        answer = execute(connection, sql)[0][0]
        return answer.decode() if isinstance(answer, bytes | bytearray) else str(answer)


class Sessions:
    """Each calls without a pause; what went wrong is in `failed`."""

    def __init__(self, mysqld: Mysqld) -> None:
        self._mysqld = mysqld
        self._stop = threading.Event()
        self.done = [0] * SESSIONS
        self.failed: list[str] = []

    def call(self, number: int) -> None:
        with contextlib.closing(self._mysqld.connect()) as connection:
            for n in itertools.count():
                if self._stop.is_set():
                    return
                try:
                    ((answer,),) = execute(connection, f"SELECT lambda_sync('Echo', '{n}')")
                except Exception as error:
                    self.failed.append(str(error))
                else:
                    if answer != str(n):
                        self.failed.append(f"{answer!r} for {n}")
                self.done[number] += 1

    def go_on(self) -> None:
        """Returns when each has got some more answers."""
        seen = list(self.done)
        wait_until(
            lambda: all(now > then + 5 for now, then in zip(self.done, seen, strict=True)), what="more calls"
        )

    def end(self) -> None:
        self._stop.set()


@contextlib.contextmanager
def under_load(mysqld: Mysqld, sidecar: SidecarProcess) -> Iterator[tuple[Sessions, list[Future[str]]]]:
    """Sessions that call, and two long calls at the endpoint."""
    sessions = Sessions(mysqld)
    with ThreadPoolExecutor(SESSIONS + 2) as pool:
        running = [pool.submit(sessions.call, number) for number in range(SESSIONS)]
        try:
            sessions.go_on()
            long = [pool.submit(long_call, mysqld) for _ in range(2)]
            record = Record(sidecar.config["local"]["port"])
            wait_until(lambda: len(record.calls("Sleep")) == 2, what="the long calls at the endpoint")
            yield sessions, long
            sessions.go_on()
        finally:
            sessions.end()
    for each in running:
        each.result()


def test_a_restart_with_long_calls_under_way_fails_no_statement(mysqld: Mysqld, tmp_path: Path) -> None:
    with sidecar(mysqld, tmp_path / "s") as one, under_load(mysqld, one) as (sessions, long):
        one.restart()  # as a service manager does: the new one starts when the old one has ended
        assert [call.result() for call in long] == [f'{{"slept": {LONG_SECONDS}}}'] * 2
    assert sessions.failed == []


def test_a_successor_started_beside_takes_over_at_once_and_long_calls_are_finished(
    mysqld: Mysqld, tmp_path: Path
) -> None:
    successor = sidecar(mysqld, tmp_path / "2")
    with (
        contextlib.ExitStack() as later,
        sidecar(mysqld, tmp_path / "1") as one,
        under_load(mysqld, one) as (sessions, long),
    ):
        os.kill(one.pid, signal.SIGTERM)
        later.enter_context(successor)
        wait_until(lambda: successor.log_contains("listening on "), what="the successor")
        sessions.go_on()
        assert not any(call.done() for call in long)
        assert [call.result() for call in long] == [f'{{"slept": {LONG_SECONDS}}}'] * 2
        wait_until(lambda: not one.running, what="the end of the old one")
        assert successor.answers()
    assert sessions.failed == []
