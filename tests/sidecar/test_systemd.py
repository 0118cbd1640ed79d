"""What the sidecar tells systemd, heard on a real notify socket: ready, reload, watchdog, end.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.invoker_client import open_stream
from tests.support.notify_socket import NotifySocket, notify_socket
from tests.support.stack import Record, local_config
from tests.support.waiting import wait_until

from lambda_sidecar.testing.ports import free_port
from lambda_sidecar.testing.sidecar import SidecarProcess, toml_text

# Short, so that a few of its halves fit into a test; long beside what a loaded machine holds a process up.
WATCHDOG_SECONDS = 2.0
# systemd's: it ignores longer datagrams.
NOTIFY_BUFFER_MAX = 4096


@contextmanager
def watched_sidecar(
    directory: Path, *, abstract: bool = False, environment: dict[str, str] | None = None, **settings: Any
) -> Iterator[tuple[SidecarProcess, NotifySocket]]:
    with notify_socket(directory, abstract=abstract) as manager:
        variables = {"NOTIFY_SOCKET": manager.address, **(environment or {})}
        config = local_config(free_port(), **settings)
        with SidecarProcess(directory / "s", config, environment=variables) as sidecar:
            yield sidecar, manager


def watchdog(seconds: float, **more: str) -> dict[str, str]:
    return {"WATCHDOG_USEC": str(int(seconds * 1_000_000)), **more}


def hang_up(sidecar: SidecarProcess, text: str) -> None:
    sidecar.config_file.write_text(text)
    os.kill(sidecar.pid, signal.SIGHUP)


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_ready_is_said_when_calls_are_answered(tmp_path: Path, abstract: bool) -> None:
    with watched_sidecar(tmp_path, abstract=abstract) as (sidecar, manager):
        message = manager.wait_for("READY")
        assert message == {"READY": "1", "STATUS": f"serving on {sidecar.socket}"}
        assert manager.messages == [message]
        with open_stream(sidecar.socket) as stream:
            assert stream.ask("Echo", b"1").result.payload == b"1"


def test_a_start_that_fails_never_says_ready(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s/precious").write_text("not a socket")
    with notify_socket(tmp_path) as manager:
        config = local_config(free_port(), socket=str(tmp_path / "s/precious"))
        sidecar = SidecarProcess(tmp_path / "s", config, environment={"NOTIFY_SOCKET": manager.address})
        sidecar.launch()
        wait_until(lambda: not sidecar.running, what="its end")
        sidecar.stop()
        assert sidecar.log_contains("exists and is not a socket")
        assert manager.receive(0.001) is None


def test_a_reload_is_announced_and_its_outcome_is_the_status(tmp_path: Path) -> None:
    with watched_sidecar(tmp_path) as (sidecar, manager):
        manager.wait_for("READY")
        before = time.monotonic()
        hang_up(sidecar, toml_text({**sidecar.config, "region": "eu-west-1"}))
        reloading, ready = manager.receive(), manager.receive()
        assert reloading is not None
        assert (reloading["RELOADING"], "READY" in reloading) == ("1", False)
        assert before <= int(reloading["MONOTONIC_USEC"]) / 1_000_000 <= time.monotonic()
        status = f"serving on {sidecar.socket}; configuration reloaded; changed: region"
        assert ready == {"READY": "1", "STATUS": status}


@pytest.mark.parametrize(
    ("text", "reason"),
    [("colour = 'red'", "unknown key 'colour'"), ('"two\\nlines" = 1', "unknown key 'two lines'")],
)
def test_a_broken_file_is_told_in_the_status_and_the_service_stays_ready(
    tmp_path: Path, text: str, reason: str
) -> None:
    with watched_sidecar(tmp_path) as (sidecar, manager):
        manager.wait_for("READY")
        hang_up(sidecar, text)
        manager.wait_for("RELOADING")
        ready = manager.receive()
        assert ready is not None
        assert (ready["READY"], set(ready)) == ("1", {"READY", "STATUS"})
        assert (
            f"; configuration not reloaded, the old one stays: {sidecar.config_file}: {reason}"
            in ready["STATUS"]
        )


def test_a_reason_of_any_length_leaves_a_datagram_that_systemd_takes(tmp_path: Path) -> None:
    with watched_sidecar(tmp_path) as (sidecar, manager):
        manager.wait_for("READY")
        hang_up(sidecar, f"'{'ä' * 10_000}' = 1")
        ready = manager.wait_for("READY")
        assert "configuration not reloaded, the old one stays: " in ready["STATUS"]
        datagram = "\n".join(f"{key}={value}" for key, value in ready.items())
        assert len(datagram.encode()) < NOTIFY_BUFFER_MAX


def test_rules_that_vanish_are_told_in_the_status(tmp_path: Path) -> None:
    with watched_sidecar(tmp_path, allow=[{"account": "app@*"}]) as (sidecar, manager):
        manager.wait_for("READY")
        hang_up(sidecar, toml_text({**sidecar.config, "allow": {}}).replace('["allow"]', ""))
        ready = manager.wait_for("READY")
        assert "the old one stays: the file has no [[allow]], and 1 were in force;" in ready["STATUS"]


def test_the_watchdog_is_fed_every_half_of_its_time(tmp_path: Path) -> None:
    with watched_sidecar(tmp_path, environment=watchdog(WATCHDOG_SECONDS)) as (_, manager):
        assert "READY" in manager.wait_for("READY")
        manager.wait_for("WATCHDOG")  # at once: systemd's time runs from READY
        first = time.monotonic()
        for _ in range(3):
            assert manager.wait_for("WATCHDOG", seconds=WATCHDOG_SECONDS) == {"WATCHDOG": "1"}
        assert 3 * WATCHDOG_SECONDS / 2 - 0.5 <= time.monotonic() - first <= 3 * WATCHDOG_SECONDS


def test_a_stuck_event_loop_does_not_feed_the_watchdog(tmp_path: Path) -> None:
    with watched_sidecar(tmp_path, environment=watchdog(WATCHDOG_SECONDS)) as (sidecar, manager):
        manager.wait_for("WATCHDOG")
        # A configuration file that does not come to its end: opening a FIFO waits for a writer.
        text = sidecar.config_file.read_text()
        sidecar.config_file.unlink()
        os.mkfifo(sidecar.config_file)
        os.kill(sidecar.pid, signal.SIGHUP)
        manager.wait_for("RELOADING")
        assert manager.quiet_for(WATCHDOG_SECONDS)  # systemd would end it now
        sidecar.config_file.write_text(text)
        assert "READY" in (manager.receive() or {})
        manager.wait_for("WATCHDOG")


@pytest.mark.parametrize(
    "environment",
    [{}, watchdog(0.1, WATCHDOG_PID="1"), watchdog(0), {"WATCHDOG_USEC": "soon"}],
    ids=["no watchdog", "another process's", "zero", "not a number"],
)
def test_nobody_who_does_not_watch_it_is_fed(tmp_path: Path, environment: dict[str, str]) -> None:
    with watched_sidecar(tmp_path, environment=environment) as (_, manager):
        manager.wait_for("READY")
        assert manager.quiet_for(0.5)


def test_the_end_is_announced_with_the_time_that_it_may_take(tmp_path: Path) -> None:
    with watched_sidecar(tmp_path, drain_seconds=300) as (sidecar, manager):
        manager.wait_for("READY")
        sidecar.stop()
        assert manager.receive() == {
            "STOPPING": "1",
            "STATUS": "stopping; running calls have 300 s",
            "EXTEND_TIMEOUT_USEC": "310000000",
        }
        assert manager.receive(0.001) is None


def test_while_running_calls_end_the_watchdog_is_fed_and_a_reload_is_too_late(tmp_path: Path) -> None:
    with watched_sidecar(tmp_path, environment=watchdog(0.2)) as (sidecar, manager):
        with open_stream(sidecar.socket) as stream:
            stream.send("Sleep", b'{"seconds": 2}')
            local = Record(sidecar.config["local"]["port"])
            wait_until(lambda: local.requests()["open"] == 1, what="the call at the endpoint")
            os.kill(sidecar.pid, signal.SIGTERM)
            manager.wait_for("STOPPING")
            hang_up(sidecar, "colour = 'red'")
            manager.wait_for("WATCHDOG")
            assert stream.receive().result.status_code == 200
        wait_until(lambda: not sidecar.running, what="its end")
        sidecar.stop()
        while manager.receive(0.001) is not None:
            pass
        stopping = next(n for n, message in enumerate(manager.messages) if "STOPPING" in message)
        after = manager.messages[stopping + 1 :]
        assert after
        assert all(message == {"WATCHDOG": "1"} for message in after)


def test_functions_on_this_machine_cannot_speak_for_the_service(tmp_path: Path) -> None:
    functions = tmp_path / "functions"
    (functions / "Environment").mkdir(parents=True)
    code = "import os\n\n\ndef lambda_handler(event, context):\n    return sorted(os.environ)\n"
    (functions / "Environment/lambda_function.py").write_text(code)
    config = local_config(free_port(), functions)
    with notify_socket(tmp_path) as manager:
        environment = {"NOTIFY_SOCKET": manager.address, **watchdog(60)}
        with (
            SidecarProcess(tmp_path / "s", config, environment=environment) as sidecar,
            open_stream(sidecar.socket) as stream,
        ):
            names = stream.ask("Environment").result.payload
    assert b"AWS_LAMBDA_FUNCTION_NAME" in names
    assert b"NOTIFY" not in names
    assert b"WATCHDOG" not in names


def test_a_notify_socket_that_is_gone_costs_a_warning_and_no_call(tmp_path: Path) -> None:
    environment = {"NOTIFY_SOCKET": str(tmp_path / "nobody")}
    with (
        SidecarProcess(tmp_path / "s", local_config(free_port()), environment=environment) as sidecar,
        open_stream(sidecar.socket) as stream,
    ):
        assert stream.ask("Echo", b"1").result.payload == b"1"
        warning = "cannot tell systemd READY=1: No such file or directory"
        wait_until(lambda: sidecar.log_contains(warning), what="the warning")
