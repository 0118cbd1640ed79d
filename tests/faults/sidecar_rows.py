"""Faults of the sidecar's process and of its socket's file.

Knows what happens to them; nothing of how it is judged."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults import memory_group
from tests.faults.home import may_not_be_refused
from tests.faults.memory_group import limited_memory
from tests.faults.row import CONNECT, Row
from tests.faults.sessions import Seen
from tests.faults.stage import Stage
from tests.faults.talks import answers, response, says, waits_for
from tests.support.hostile_peer import PREFACE, Connection, Peer

# ---- the sidecar ----


def killed_under_way(stage: Stage) -> Seen:
    with stage.endpoint(says(b"")), stage.under_way() as call:
        stage.sidecar.kill()
        seen = call.result()
    stage.sidecar.start()
    return seen


def not_there(stage: Stage) -> Seen:
    stage.sidecar.kill()
    seen = stage.call()
    stage.sidecar.start()
    return seen


def comes_back(stage: Stage) -> Seen:
    """Within connect_timeout_ms it listens again: the statement waits for it."""
    with stage.endpoint(answers()), stage.patience(10):
        stage.sidecar.kill()
        call = stage.start()
        stage.sidecar.start()
        return call.result()


@contextlib.contextmanager
def stopped(stage: Stage) -> Iterator[None]:
    """By SIGSTOP, as a debugger does it, or a container's freezer."""
    pid = stage.sidecar.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def stopped_before_a_connection(stage: Stage) -> Seen:
    with stopped(stage):
        return stage.call()


def stopped_before_a_call(stage: Stage) -> Seen:
    with stage.endpoint(answers()):
        stage.warm_up()
        before = stage.invoked
        with stopped(stage):
            seen = stage.call()
        # What lay in the socket is read now, and nobody waits for it any more.
        after_all = stage.start(session=stage.connect())
        assert after_all.result().error == ""
    return Seen(seen.error, seen.seconds, str(stage.invoked - before - 1))


def stopped_under_way(stage: Stage) -> Seen:
    with stage.endpoint(says(b"")), stage.under_way() as call, stopped(stage):
        return call.result()


def restarted_under_way(stage: Stage) -> Seen:
    """As a service manager does it. The long call is answered when a call of the new one has been."""
    served = threading.Event()

    def is_served() -> bool:
        return served.is_set() or stage.invoked > 1

    with stage.patience(10), stage.endpoint(waits_for(is_served)), stage.under_way() as call:
        stopping = threading.Thread(target=stage.sidecar.restart)
        stopping.start()
        other = stage.start(session=stage.connect())
        assert other.result().error == ""
        seen = call.result()
        stopping.join()
    return Seen(seen.error, seen.seconds, str(stage.invoked - 1))


@contextlib.contextmanager
def limited(pid: int, limit: int, value: int) -> Iterator[None]:
    """One of the process's limits (getrlimit(2)), for a while."""
    before = resource.prlimit(pid, limit)
    resource.prlimit(pid, limit, (value, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, limit, before)


def without_descriptors(stage: Stage) -> contextlib.AbstractContextManager[None]:
    """Those that are open stay open; three are, whatever happens."""
    return limited(stage.sidecar.pid, resource.RLIMIT_NOFILE, 3)


def no_descriptor_for_the_endpoint(stage: Stage) -> Seen:
    with stage.endpoint(answers()):
        stage.warm_up()
        before = stage.invoked
    with stage.endpoint(answers()), without_descriptors(stage):
        seen = stage.call()
    return Seen(seen.error, seen.seconds, str(stage.invoked - before))


def no_descriptor_for_a_session(stage: Stage) -> Seen:
    with stage.endpoint(answers()), without_descriptors(stage):
        return stage.call()


def over_its_memory_limit(stage: Stage) -> Seen:
    """Of 4 MB, by an answer of 6 MB: the kernel kills it."""
    large = response(b'"' + b"x" * 6_000_000 + b'"')
    limit = threading.Event()
    with (
        stage.endpoint(waits_for(limit.is_set, large)),
        stage.under_way() as call,
        limited_memory(stage.sidecar.pid, 4_000_000),
    ):
        limit.set()
        seen = call.result()
        stage.sidecar.kill()
    stage.sidecar.start()
    return seen


def no_room_for_its_log(stage: Stage) -> Seen:
    """Whatever it writes fails, as on a full disk."""
    with stage.endpoint(answers()), limited(stage.sidecar.pid, resource.RLIMIT_FSIZE, 0):
        return stage.call()


# ---- the socket's file ----


def deleted(stage: Stage) -> Seen:
    stage.path.unlink()
    seen = stage.call()
    stage.path.symlink_to(stage.sidecar.socket)
    return seen


def deleted_beside_a_connection(stage: Stage) -> Seen:
    with stage.endpoint(answers()):
        stage.warm_up()
        before = stage.invoked
        stage.path.unlink()
        seen = stage.call()
    stage.path.symlink_to(stage.sidecar.socket)
    return Seen(seen.error, seen.seconds, str(stage.invoked - before))


def replaced(
    put: Callable[[Path], None], remove: Callable[[Path], None] = Path.unlink
) -> Callable[[Stage], Seen]:
    def play(stage: Stage) -> Seen:
        stage.path.unlink()
        put(stage.path)
        seen = stage.call()
        remove(stage.path)
        stage.path.symlink_to(stage.sidecar.socket)
        return seen

    return play


def another_program(talk: Callable[[Connection], None]) -> Callable[[Stage], Seen]:
    """Listens there."""

    def play(stage: Stage) -> Seen:
        stage.path.unlink()
        with Peer(stage.path, talk):
            seen = stage.call()
        stage.path.unlink()
        stage.path.symlink_to(stage.sidecar.socket)
        return seen

    return play


def hangs_up(program: Connection) -> None:
    program.read(len(PREFACE))


def speaks_http_1(program: Connection) -> None:
    program.read(len(PREFACE))
    program.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    program.hold()


def wrong_rights(stage: Stage) -> Seen:
    socket = stage.sidecar.socket
    mode = socket.stat().st_mode
    socket.chmod(0)
    seen = stage.call()
    socket.chmod(mode)
    return seen


SIDECAR = (
    Row("killed with a call under way", killed_under_way),
    Row("killed, and nobody starts it", not_there, limit=CONNECT),
    Row("killed, and started again", comes_back, lasts="its start"),
    Row("stopped (SIGSTOP) when a session wants to connect", stopped_before_a_connection, limit=CONNECT),
    Row("stopped when a connected session calls", stopped_before_a_call),
    Row("stopped with a call under way", stopped_under_way),
    Row("restarted with a long call under way", restarted_under_way, lasts="the call"),
    Row("out of descriptors, none for the endpoint", no_descriptor_for_the_endpoint, limit="three attempts"),
    Row("out of descriptors, none for a session", no_descriptor_for_a_session, limit=CONNECT),
    Row("over its memory limit", over_its_memory_limit, needs=memory_group.why_there_is_none),
    Row("its log's disk is full", no_room_for_its_log),
)

SOCKET = (
    Row("deleted", deleted, limit=CONNECT),
    Row("deleted beside a session that is connected", deleted_beside_a_connection),
    Row("a directory in its place", replaced(Path.mkdir, Path.rmdir), limit=CONNECT),
    Row("a file in its place", replaced(Path.touch), limit=CONNECT),
    Row("another program there that hangs up", another_program(hangs_up), limit=CONNECT),
    Row(
        "another program there that speaks HTTP/1.1",
        another_program(speaks_http_1),
        limit=CONNECT,
    ),
    Row("another program there that is silent", another_program(Connection.hold), limit=CONNECT),
    Row("wrong rights", wrong_rights, needs=may_not_be_refused),
)

GROUPS = {"The sidecar": SIDECAR, "The socket's file": SOCKET}
