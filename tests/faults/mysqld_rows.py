"""Faults of mysqld, its disk and the machine's clock.

Knows what happens to them; nothing of how it is judged."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing

from tests.faults.row import Row
from tests.faults.sessions import CALL, Seen, start_mysqld
from tests.faults.stage import Stage
from tests.faults.talks import Reader, Writer, answers, response, stays, waits_for
from tests.support import http_peer
from tests.support.component import INSTALL, UNINSTALL
from tests.support.small_disk import why_there_is_none
from tests.support.stack import execute
from tests.support.waiting import wait_until

DAY = 24 * 3600


# ---- the clock ----


def clock_jumps(seconds: int) -> Callable[[Stage], Seen]:
    """mysqld's and the sidecar's, while a call is under way, which then is answered."""

    def play(stage: Stage) -> Seen:
        jumped = threading.Event()
        try:
            with stage.endpoint(waits_for(jumped.is_set)), stage.under_way() as call:
                stage.clock.jump(seconds)
                jumped.set()
                return call.result()
        finally:
            stage.clock.jump(0)

    return play


# ---- mysqld ----


def interrupted(end: Callable[[Stage], None], sql: str = CALL) -> Callable[[Stage], Seen]:
    """While the call is under way; the sidecar drops it then, and so its connection to the endpoint."""

    def play(stage: Stage) -> Seen:
        dropped = threading.Event()

        async def talk(made: http_peer.Peer, reader: Reader, writer: Writer) -> None:
            await made.read(reader)
            await stays(reader, writer)
            dropped.set()

        with stage.endpoint(talk), stage.under_way(sql) as call:
            end(stage)
            seen = call.result()
            wait_until(dropped.is_set, what="the end of the HTTP request")
        return seen

    return play


def kill_query(stage: Stage) -> None:
    stage.query(f"KILL QUERY {stage.session_number}")


def kill_connection(stage: Stage) -> None:
    stage.query(f"KILL {stage.session_number}")


def kill_mysqld(stage: Stage) -> None:
    stage.query("DROP DATABASE IF EXISTS faults")  # the disk under it is lost together with mysqld
    stage.mysqld.kill()
    start_mysqld(stage.mysqld)
    stage.lead_to("plain")


def restart_mysqld(stage: Stage) -> None:
    stage.query("DROP DATABASE IF EXISTS faults")
    stage.mysqld.stop()
    start_mysqld(stage.mysqld)
    stage.lead_to("plain")


def time_is_over(_: Stage) -> None:
    """By itself."""


def uninstalled_under_way(stage: Stage) -> Seen:
    """The row's session is the uninstaller's; the call is another's, and is answered."""
    tried = threading.Event()
    with stage.endpoint(waits_for(tried.is_set)):
        call = stage.start(session=stage.connect())
        stage.wait_until_invoked()
        seen = stage.call(UNINSTALL)
        tried.set()
        assert call.result().error == ""
    stage.call()  # what the next statement is
    return seen


def uninstalled_between_rows(stage: Stage) -> Seen:
    """A lock of another session's keeps the statement between its two calls."""
    sql = "SELECT lambda_sync('f', '1'), GET_LOCK('between', 10), lambda_sync('f', '2'), RELEASE_LOCK('between')"
    with closing(stage.connect()) as other, stage.endpoint(answers()):
        assert execute(other, "SELECT GET_LOCK('between', 20)") == [(1,)]
        with stage.under_way(sql) as call:
            uninstall(stage)
            execute(other, "SELECT RELEASE_LOCK('between')")
            seen = call.result()
        stage.query(INSTALL)
        stage.lead_to("plain")
    return seen


def uninstall(stage: Stage) -> None:
    """As soon as no call is in flight."""
    with closing(stage.connect()) as session:
        wait_until(lambda: stage.see(session, UNINSTALL).error == "", what="no call in flight")


def reinstalled_under_load(stage: Stage) -> Seen:
    """Ten times, while two sessions call without a pause. Gives what one of them sees: the answer, unless the
    component went between the beginning of the statement and its row."""
    over = threading.Event()
    allowed = {"", "3200: the component was uninstalled while the statement ran"}
    seen: list[Seen] = []

    def load() -> None:
        with closing(stage.connect()) as session:
            while not over.is_set():
                seen.append(stage.see(session, CALL))

    with stage.endpoint(answers()):
        threads = [threading.Thread(target=load) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(10):
                uninstall(stage)
                stage.query(INSTALL)
        finally:
            over.set()
            for thread in threads:
                thread.join()
        answered = sum(each.error == "" for each in seen)
        stage.lead_to("plain")
    assert {each.error for each in seen} <= allowed, seen
    assert stage.invoked == answered
    return Seen("", max(each.seconds for each in seen), "once for each answer")


def disk_full(stage: Stage) -> Seen:
    """The answer is to be stored in a table whose disk is full."""
    stage.query("CREATE DATABASE IF NOT EXISTS faults")
    stage.query("DROP TABLE IF EXISTS faults.answers")
    stage.query(
        f"CREATE TABLE faults.answers (answer LONGTEXT) DATA DIRECTORY = '{stage.directory / 'disk'}'"
    )
    large = response(b'"' + b"x" * 1_000_000 + b'"')
    with stage.endpoint(answers(large)), stage.disk.full(stage.mysqld):
        return stage.call("INSERT INTO faults.answers SELECT lambda_sync('f', '{}')")


CLOCK = (
    Row("a day ahead, with a call under way", clock_jumps(DAY)),
    Row("a day back, with a call under way", clock_jumps(-DAY)),
)

MYSQLD = (
    Row("KILL QUERY", interrupted(kill_query)),
    Row("KILL", interrupted(kill_connection)),
    Row(
        "max_execution_time",
        interrupted(time_is_over, "SELECT /*+ MAX_EXECUTION_TIME(700) */ lambda_sync('f', '{}')"),
        limit="`max_execution_time`",
    ),
    Row("UNINSTALL COMPONENT with a call in flight", uninstalled_under_way),
    Row("UNINSTALL COMPONENT between two rows of a statement", uninstalled_between_rows),
    Row("INSTALL and UNINSTALL COMPONENT ten times under load", reinstalled_under_load),
    Row("the disk of the table that is to hold the answer is full", disk_full, needs=why_there_is_none),
    Row("killed (SIGKILL) with a call in flight, and started again", interrupted(kill_mysqld)),
    Row("restarted with a call in flight", interrupted(restart_mysqld)),
)

GROUPS = {"The clock": CLOCK, "mysqld": MYSQLD}
