"""How a sidecar gives its place up: the lock, the socket's file, a successor, and what stands in the way of its end.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.support.invoker_client import InvokerStream, connect, open_stream
from tests.support.scrape import scrape
from tests.support.stack import Record, local_config
from tests.support.waiting import wait_until

from lambda_sidecar.config.config import SOCKET_PATH_MAX
from lambda_sidecar.testing.ports import free_port
from lambda_sidecar.testing.sidecar import SidecarProcess

REFUSED = "another sidecar serves "


def sidecar_on(path: Path, directory: Path, **settings: Any) -> SidecarProcess:
    """One with a local Lambda of its own."""
    return SidecarProcess(directory, {"socket": str(path), **local_config(free_port(), **settings)})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The socket's, and nothing else's."""
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


@pytest.fixture
def first(folder: Path, tmp_path: Path) -> Iterator[SidecarProcess]:
    with sidecar_on(folder / "s", tmp_path / "1") as sidecar:
        yield sidecar


@pytest.fixture
def second(folder: Path, tmp_path: Path) -> Iterator[SidecarProcess]:
    """Not started yet."""
    sidecar = sidecar_on(folder / "s", tmp_path / "2")
    yield sidecar
    sidecar.stop()


def listens(sidecar: SidecarProcess) -> bool:
    return sidecar.log_contains(f"listening on {sidecar.socket}")


def refused(sidecar: SidecarProcess) -> None:
    sidecar.launch()
    wait_until(lambda: not sidecar.running, what="a refusal")
    sidecar.stop()
    assert sidecar.log_text().endswith(f"{REFUSED}{sidecar.socket}: stop it first\n")


@contextlib.contextmanager
def long_call(sidecar: SidecarProcess, seconds: float = 2) -> Iterator[InvokerStream]:
    """Under way at the endpoint; its stream."""
    record = Record(sidecar.config["local"]["port"])
    with open_stream(sidecar.socket) as stream:
        stream.send("Sleep", b'{"seconds": %g}' % seconds)
        wait_until(lambda: record.requests()["open"] == 1, what="the call at the endpoint")
        yield stream


def answers(path: Path) -> bool:
    with open_stream(path) as stream:
        return stream.ask("Echo", b"1").result.payload == b"1"


def health(path: Path) -> int:
    with connect(path) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    status: int = answer.status
    return status


def test_while_calls_from_before_run_old_and_new_streams_are_served(first: SidecarProcess) -> None:
    with long_call(first) as long, open_stream(first.socket) as idle:
        assert idle.ask("Echo", b"1").result.payload == b"1"
        os.kill(first.pid, signal.SIGTERM)
        wait_until(lambda: first.log_contains("stopping; "), what="SIGTERM seen")
        assert health(first.socket) == health_pb2.HealthCheckResponse.NOT_SERVING
        assert idle.ask("Echo", b"2").result.payload == b"2"
        assert answers(first.socket)
        assert long.receive().result.status_code == 200
        with pytest.raises(grpc.RpcError):
            idle.receive()
        assert idle.call.code() is grpc.StatusCode.UNAVAILABLE
        assert dict(idle.call.trailing_metadata())["lambda-udf-last-call-id"] == "2"
    wait_until(lambda: not first.running, what="its end")
    assert list(first.socket.parent.iterdir()) == [first.socket.with_name("s.lock")]


def test_what_begins_after_sigterm_does_not_keep_it(tmp_path: Path, folder: Path) -> None:
    with (
        sidecar_on(folder / "s", tmp_path / "1", drain_seconds=8) as sidecar,
        long_call(sidecar, 1) as before,
    ):
        os.kill(sidecar.pid, signal.SIGTERM)
        wait_until(lambda: sidecar.log_contains("stopping; "), what="SIGTERM seen")
        with open_stream(sidecar.socket) as later:
            later.send("Sleep", b'{"seconds": 3}')
            assert before.receive().result.status_code == 200
            wait_until(lambda: not sidecar.socket.exists(), what="a closed door")
            assert later.receive().result.status_code == 200


def test_drain_seconds_bound_the_whole_and_leave_time_for_the_calls_of_the_last_moment(
    tmp_path: Path, folder: Path
) -> None:
    with sidecar_on(folder / "s", tmp_path / "1", drain_seconds=3) as sidecar, long_call(sidecar, 60) as long:
        os.kill(sidecar.pid, signal.SIGTERM)
        failed: list[str] = []
        called = 0
        while sidecar.socket.exists():
            with open_stream(sidecar.socket) as stream:
                try:
                    stream.send("Sleep", b'{"seconds": 0.3}')
                    called += stream.receive().result.status_code == 200
                except grpc.RpcError:
                    # Not taken: it came when the door was closing.
                    failed.append(dict(stream.call.trailing_metadata()).get("lambda-udf-last-call-id", "0"))
        assert called > 2
        assert set(failed) <= {"0"}
        with pytest.raises(grpc.RpcError):
            long.receive()
        wait_until(lambda: not sidecar.running, what="its end")


def test_a_second_one_is_refused_until_the_first_is_told_to_stop_and_takes_over_at_once_then(
    first: SidecarProcess, second: SidecarProcess
) -> None:
    refused(second)
    with long_call(first) as long, open_stream(first.socket) as idle:
        assert idle.ask("Echo", b"1").result.payload == b"1"
        os.kill(first.pid, signal.SIGTERM)
        second.launch()
        present = True
        while not listens(second):
            assert second.running, second.log_text()
            present = present and first.socket.is_socket()
        assert present, "there was a moment without a socket"
        assert stat.S_IMODE(second.socket.stat().st_mode) == 0o660
        with pytest.raises(grpc.RpcError):
            idle.receive()  # ended at once, with the first one's call still under way
        assert idle.call.code() is grpc.StatusCode.UNAVAILABLE
        assert first.running
        assert long.receive().result.status_code == 200
    wait_until(lambda: not first.running, what="the first one's end")
    assert answers(second.socket)
    assert health(second.socket) == health_pb2.HealthCheckResponse.SERVING


def test_with_the_lock_file_deleted_a_second_one_is_refused_all_the_same(
    first: SidecarProcess, second: SidecarProcess
) -> None:
    first.socket.with_name("s.lock").unlink()
    refused(second)
    assert answers(first.socket)


def test_with_the_lock_file_deleted_a_stopped_process_is_replaced_and_its_end_leaves_the_socket(
    first: SidecarProcess, second: SidecarProcess
) -> None:
    first.socket.with_name("s.lock").unlink()
    os.kill(first.pid, signal.SIGSTOP)
    try:
        second.launch()
        wait_until(lambda: listens(second), what="the second one")
    finally:
        os.kill(first.pid, signal.SIGCONT)
    assert second.log_contains("something listens there and does not answer")
    first.stop()
    assert answers(second.socket)


def test_a_successor_that_cannot_start_leaves_the_socket_to_the_first(
    first: SidecarProcess, second: SidecarProcess, tmp_path: Path
) -> None:
    second.config["local"] = first.config["local"]  # its port is taken
    with long_call(first) as long:
        os.kill(first.pid, signal.SIGTERM)
        second.launch()
        wait_until(lambda: not second.running, what="its end")
        assert second.log_contains("lambda-sidecar: ")
        assert answers(first.socket)
        assert long.receive().result.status_code == 200
    wait_until(lambda: not first.running, what="the first one's end")
    assert list(first.socket.parent.iterdir()) == [first.socket.with_name("s.lock")]


def test_a_successor_may_have_the_port_of_the_metrics(tmp_path: Path, folder: Path) -> None:
    port = free_port()
    listen = {"metrics": {"listen": f"127.0.0.1:{port}"}}
    second = sidecar_on(folder / "s", tmp_path / "2", **listen)
    with sidecar_on(folder / "s", tmp_path / "1", **listen) as first, long_call(first):
        os.kill(first.pid, signal.SIGTERM)
        wait_until(lambda: first.log_contains("stopping; "), what="SIGTERM seen")
        assert scrape(port).value("calls_in_flight") == 1
        second.launch()
        wait_until(lambda: second.log_contains("metrics at http://"), what="the successor's metrics")
        assert first.running
        assert scrape(port).value("calls_in_flight") == 0
    second.stop()


def test_a_successor_serves_without_metrics_where_the_port_is_anothers(
    first: SidecarProcess, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        second = sidecar_on(first.socket, tmp_path / "2", metrics={"listen": listen})
        with long_call(first, 8):
            os.kill(first.pid, signal.SIGTERM)
            second.launch()
            text = f"ERROR lambda_sidecar.server: metrics: cannot listen on {listen}: Address already in use"
            wait_until(lambda: second.log_contains(text), what="the error")
        assert answers(second.socket)
        second.stop()


def is_a_directory(path: Path) -> None:
    path.unlink()
    (path / "full").mkdir(parents=True)


def is_a_file(path: Path) -> None:
    path.unlink()
    path.write_text("precious")


def has_no_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def has_a_file_for_its_folder(path: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.write_text("precious")


def is_gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    "mishap", [is_a_directory, is_a_file, has_no_folder, has_a_file_for_its_folder, is_gone]
)
def test_running_calls_are_finished_whatever_has_become_of_the_socket(
    first: SidecarProcess, mishap: Callable[[Path], None]
) -> None:
    with long_call(first, 1) as long:
        mishap(first.socket)
        left = sorted(first.socket.parent.parent.rglob("*"))
        os.kill(first.pid, signal.SIGTERM)
        assert long.receive().result.status_code == 200
    wait_until(lambda: not first.running, what="its end")
    log = first.log_text()
    assert log.count(f"WARNING lambda_sidecar.process.socket_file: {first.socket} ") == 1
    assert log.count("WARNING") == 1
    assert "Traceback" not in log
    assert "ERROR" not in log
    assert set(left) <= set(first.socket.parent.parent.rglob("*"))


def test_the_second_ones_socket_stays_whatever_becomes_of_the_first(
    first: SidecarProcess, second: SidecarProcess
) -> None:
    """Even where both could start: the file of the first one's was removed, and its lock."""
    shutil.rmtree(first.socket.parent)
    first.socket.parent.mkdir()
    with second:
        inode = second.socket.stat().st_ino
        first.stop()
        assert second.socket.stat().st_ino == inode
        assert answers(second.socket)


def test_the_longest_path_that_can_be_connected_to_can_be_served(tmp_path: Path) -> None:
    folder = tmp_path / ("f" * (SOCKET_PATH_MAX - 7 - len(os.fsencode(tmp_path)) - 1))
    folder.mkdir()
    path = folder / "socket"
    assert len(os.fsencode(path)) == SOCKET_PATH_MAX
    with sidecar_on(path, tmp_path / "1") as sidecar:
        assert answers(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        sidecar.stop()
    assert list(folder.iterdir()) == [path.with_name("socket.lock")]


def test_what_a_killed_start_has_left_is_removed_by_the_next(first: SidecarProcess, tmp_path: Path) -> None:
    left = first.socket.with_name("s.0123abcd")
    code = "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(left)], check=True)
    others = [first.socket.with_name(name) for name in ("s.0123abcde", "t.0123abcd")]
    for other in others:
        subprocess.run([sys.executable, "-c", code, str(other)], check=True)
    first.restart()
    assert not left.exists()
    assert all(other.is_socket() for other in others)


def test_each_step_of_the_end_is_taken_even_if_the_one_before_it_failed(tmp_path: Path, folder: Path) -> None:
    """Health's last word cannot be said: a defect put in from outside, by the interpreter's own start file."""
    (tmp_path / "defect").mkdir()
    (tmp_path / "defect/sitecustomize.py").write_text(
        "from grpc_health.v1 import health\n"
        "async def enter_graceful_shutdown(self):\n"
        "    raise RuntimeError('no')\n"
        "health.aio.HealthServicer.enter_graceful_shutdown = enter_graceful_shutdown\n"
    )
    sidecar = sidecar_on(folder / "s", tmp_path / "1")
    sidecar.environment["PYTHONPATH"] = str(tmp_path / "defect")
    with sidecar, long_call(sidecar, 1) as long:
        os.kill(sidecar.pid, signal.SIGTERM)
        assert long.receive().result.status_code == 200
        wait_until(lambda: not sidecar.running, what="its end")
    assert sidecar.log_contains("ERROR lambda_sidecar.process.closers: stopping: health: RuntimeError: no\n")
    assert not sidecar.log_contains("Traceback")
    assert not sidecar.socket.exists()


def test_sigterm_while_it_starts_ends_it_and_leaves_no_socket(tmp_path: Path, folder: Path) -> None:
    sidecar = sidecar_on(folder / "s", tmp_path / "1")
    sidecar.launch()
    wait_until(lambda: (folder / "s.lock").exists(), what="its lock")
    thread = threading.Thread(target=sidecar.stop)
    thread.start()
    thread.join()
    assert [entry.name for entry in folder.iterdir()] == ["s.lock"]
