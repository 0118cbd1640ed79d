"""`lambda-sidecar top`, in a pseudo-terminal and for scripts; and the Monitor service that it asks.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.support.account import ACCOUNT_ID, ARN, ROLE
from tests.support.aws_sidecar import OK, AwsSidecar, aws_sidecar
from tests.support.invoker_client import open_stream, snapshot
from tests.support.lambda_endpoint import Handler
from tests.support.pseudo_terminal import PseudoTerminal, pseudo_terminal
from tests.support.stack import CANARY
from tests.support.waiting import wait_until

from lambda_udf.v1 import invoker_pb2, monitor_pb2

COMMAND = [sys.executable, "-m", "lambda_sidecar.cli", "top"]
# MySQL's limits: a user has 32 characters, a host 255; connections are numbered in 32 bits.
LONG = invoker_pb2.Caller(user="u" * 32, host="h" * 255, connection_id=4294967295)
STEERING = "\x1b]0;pwned\x07\x1b[2J\r\n\x9b31m\u202eevil\u0301"


@contextmanager
def held_calls(directory: Path, **settings: Any) -> Iterator[tuple[AwsSidecar, threading.Event]]:
    """An endpoint that answers `quick` at once and everything else when the event is set."""
    gate = threading.Event()

    def answer(handler: Handler) -> None:
        if "quick" not in handler.path:
            gate.wait(60)
        OK(handler)

    with aws_sidecar(directory, answer, **settings) as aws:
        try:
            yield aws, gate
        finally:
            gate.set()


def once(socket: Path, **environment: str) -> str:
    done = subprocess.run(
        [*COMMAND, "--once", "--socket", socket],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**{name: text for name, text in os.environ.items() if name != "COLUMNS"}, **environment},
    )
    assert done.stderr == ""
    return done.stdout


def top(socket: Path, *, columns: int = 80) -> AbstractContextManager[PseudoTerminal]:
    command = [*COMMAND, "--socket", str(socket), "--interval", "0.2"]
    return pseudo_terminal(command, columns=columns)


@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_it_has_colours_where_the_terminals_user_wants_them(
    tmp_path: Path, environment: dict[str, str], coloured: bool
) -> None:
    command = [*COMMAND, "--interval", "0.2", "--socket"]
    with held_calls(tmp_path) as (aws, _):
        aws.stream.send("held")
        wait_until(lambda: aws.endpoint.paths, what="the call at the endpoint")
        with pseudo_terminal([*command, str(aws.sidecar.socket)], environment=environment) as terminal:
            terminal.wait_for("IN FLIGHT 1")
            frame = "\n".join(terminal.coloured_frames()[-1])
    assert ("\x1b[32m sent        \x1b[m" in frame) == coloured
    assert ("\x1b[" in frame) == coloured


def test_keys_show_one_section_or_stop_the_clock(tmp_path: Path) -> None:
    with held_calls(tmp_path) as (aws, _), top(aws.sidecar.socket) as terminal:
        terminal.wait_for("SLOWEST")
        aws.stream.ask("quick-one")
        frame = terminal.wait_for("calls 1 ")
        assert frame[-1] == "q quit  p pause  a all  r running  f functions  s slowest"
        terminal.press("F")
        frame = terminal.wait_for_frame(lambda frame: not any("SLOWEST" in line for line in frame))
        (row,) = [line for line in frame if line.endswith(" quick-one")]
        assert row.split()[3:5] == ["-", "-"], "no errors"
        assert not any("IN FLIGHT" in line for line in frame)
        terminal.press("ap")
        assert any("SLOWEST" in line for line in terminal.wait_for("PAUSED"))
        aws.stream.ask("quick-two")
        for _ in range(2):
            assert "calls 1 " in terminal.wait_for("PAUSED")[1]
        terminal.press("p")
        assert "PAUSED" not in terminal.wait_for("calls 2 ")[-1]


def test_each_function_has_a_row_with_its_errors(tmp_path: Path) -> None:
    with held_calls(tmp_path) as (aws, _):
        for _ in range(3):
            aws.stream.ask("quick:live")
        aws.stream.error("quick", b"{")
        aws.stream.error("not a name")
        told = snapshot(aws.sidecar.socket)
        text = once(aws.sidecar.socket)
    counts = {each.function: (each.calls, each.failed, sum(each.durations)) for each in told.functions}
    assert counts == {"quick": (4, 1, 3), "(other)": (1, 1, 0)}
    assert len(told.duration_bounds) + 1 == len(told.functions[0].durations)
    lines = text.splitlines()
    first = lines.index("FUNCTIONS since the start") + 2
    rows = [line.split() for line in lines[first : first + 2]]
    assert [(row[-1], *row[3:5]) for row in rows] == [("quick", "1", "25.0"), ("(other)", "1", "100.0")]
    assert rows[0][1].endswith("ms")
    assert rows[1][1:3] == ["-", "-"], "nothing was sent"


def test_in_80_columns_it_shows_a_running_call_and_a_slow_one(tmp_path: Path) -> None:
    with held_calls(tmp_path) as (aws, gate):
        for _ in range(3):
            aws.stream.ask("quick-one")
        with top(aws.sidecar.socket) as terminal:
            terminal.wait_for("SLOWEST")
            aws.stream.send("slow-one:live", caller=LONG)
            running = terminal.wait_for("slow-one:live")
            gate.set()
            ended = terminal.wait_for("calls 4 ")
            terminal.press("q")
            assert terminal.ended() == 0
            assert terminal.is_as_before()
        assert terminal.output.startswith("\x1b[?1049h\x1b[?25l")
        assert terminal.output.endswith("\x1b[?25h\x1b[?1049l")
    for frame in terminal.frames():
        assert len(frame) <= 24
        assert max(len(line) for line in frame) <= 80
    (line,) = [line for line in running if "slow-one:live" in line]
    assert line.split()[1:4] == ["sent", "sync", "4294967295"]
    assert "IN FLIGHT 1" in running
    (line,) = [line for line in ended if "slow-one:live" in line]
    assert ended.index(line) == ended.index(next(line for line in ended if "SLOWEST" in line)) + 2
    assert line.split()[3] == "success"
    assert "IN FLIGHT 0" in ended
    assert sum("quick-one" in line for line in ended[ended.index(line) :]) == 3


def test_a_call_that_waits_for_a_slot_is_shown_as_waiting(tmp_path: Path) -> None:
    with held_calls(tmp_path, max_concurrency=1) as (aws, _):
        aws.stream.send("first")
        wait_until(lambda: aws.endpoint.paths, what="the first call at the endpoint")
        aws.stream.send("second")
        wait_until(lambda: snapshot(aws.sidecar.socket).waiting == 1, what="the second, waiting")
        text = once(aws.sidecar.socket)
    assert "slots 1 of 1, waiting 1; connections 1\n" in text
    shown = [line.split()[1:] for line in text.partition("FUNCTIONS")[0].splitlines() if " us-east-1" in line]
    assert shown == [
        ["sent", "sync", "7", "'app'@'%'", "first", "us-east-1", ACCOUNT_ID],
        ["waiting", "sync", "7", "'app'@'%'", "second", "us-east-1", ACCOUNT_ID],
    ]


def test_once_prints_plain_lines_of_80_columns_for_scripts(tmp_path: Path) -> None:
    with held_calls(tmp_path) as (aws, _):
        for number in range(30):
            aws.stream.send(f"held-{number}-{'x' * 50}", f'"{CANARY}"'.encode(), caller=LONG)
        aws.stream.ask("quick", f'"{CANARY}"'.encode())
        text = once(aws.sidecar.socket)
    assert "\x1b" not in text
    assert CANARY not in text
    assert max(len(line) for line in text.splitlines()) <= 80
    assert sum("held-" in line for line in text.splitlines()) == 30, "all of them: a script has no last line"
    assert "success 1" in text


def test_names_never_steer_the_terminal(tmp_path: Path) -> None:
    caller = invoker_pb2.Caller(user=STEERING, host="%", connection_id=7)
    with held_calls(tmp_path) as (aws, _):
        aws.stream.ask("quick", caller=caller)
        aws.stream.send("held", caller=caller)
        wait_until(lambda: aws.endpoint.paths[1:], what="the call at the endpoint")
        text = once(aws.sidecar.socket, COLUMNS="250")
        with top(aws.sidecar.socket, columns=250) as terminal:
            terminal.wait_for("held")
    shown = r"'\x1b]0;pwned\x07\x1b[2J\x0d\x0a\x9b31m\u202eevil\u0301'@'%'"
    assert text.count(shown) == 2
    assert all(character.isprintable() or character == "\n" for character in text)
    for frame in terminal.frames():
        assert "".join(frame).isprintable()


def test_it_outlives_a_sidecar_that_restarts(aws: AwsSidecar) -> None:
    with top(aws.sidecar.socket) as terminal:
        terminal.wait_for("SLOWEST")
        aws.sidecar.stop()
        terminal.wait_for(f"no sidecar listens on {aws.sidecar.socket}"[:70])
        aws.sidecar.start()
        terminal.wait_for("SLOWEST")
        terminal.press("\x03")
        assert terminal.ended() == 0
        assert terminal.is_as_before()


def test_ctrl_c_ends_it_whatever_moment_it_comes_in(aws: AwsSidecar) -> None:
    for moment in range(10):
        with top(aws.sidecar.socket) as terminal:
            for _ in range(1 + moment % 3):
                terminal.wait_for("SLOWEST")
            terminal.press("\x03")
            assert terminal.ended(5) == 0
            assert terminal.is_as_before()


def test_it_can_be_left_while_the_sidecar_does_not_answer(aws: AwsSidecar) -> None:
    with top(aws.sidecar.socket) as terminal:
        terminal.wait_for("SLOWEST")
        os.kill(aws.sidecar.pid, signal.SIGSTOP)
        try:
            terminal.wait_for("the sidecar on ")
            terminal.press("\x03")
            assert terminal.ended(2) == 0
        finally:
            os.kill(aws.sidecar.pid, signal.SIGCONT)


def test_a_signal_leaves_the_terminal_as_it_was(aws: AwsSidecar) -> None:
    with top(aws.sidecar.socket) as terminal:
        terminal.wait_for("SLOWEST")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.ended() == 0
        assert terminal.is_as_before()
        assert terminal.output.endswith("\x1b[?1049l")


def test_a_smaller_terminal_gets_less(tmp_path: Path) -> None:
    with held_calls(tmp_path) as (aws, _), top(aws.sidecar.socket) as terminal:
        for _ in range(40):
            aws.stream.send("held")
        frame = terminal.wait_for("more not shown")
        assert len(frame) == 24
        terminal.resize(40, 10)
        wait_until(lambda: terminal.wait_for("lambda-sidecar")[10:] == [], what="a small frame")
        frame = terminal.wait_for("lambda-sidecar")
        assert len(frame) <= 10
        assert max(len(line) for line in frame) <= 40


@pytest.mark.parametrize("arguments", [["--once"], []])
def test_without_a_sidecar_it_says_so(tmp_path: Path, arguments: list[str]) -> None:
    socket = tmp_path / "nobody.sock"
    command = [*COMMAND, "--socket", str(socket), *arguments]
    with pseudo_terminal(command) as terminal:
        assert terminal.ended() == 1
    told = terminal.output.replace("\r\n", "")
    assert told == f"lambda-sidecar: no sidecar listens on {socket}: No such file or directory"


def test_without_a_terminal_it_wants_once(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--socket", tmp_path / "s"], capture_output=True, text=True, timeout=60, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "lambda-sidecar: top draws on a terminal; use --once to print\n"


def test_the_configuration_names_the_socket(aws: AwsSidecar) -> None:
    command = [*COMMAND, "--once", "--config", str(aws.sidecar.config_file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "IN FLIGHT 0\n" in done.stdout


def test_a_socket_of_something_else_is_named(tmp_path: Path) -> None:
    """An older sidecar has no Monitor; here gRPC's own server without any service."""
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        server.add_insecure_port(f"unix:{tmp_path}/s")
        server.start()
        done = subprocess.run(
            [*COMMAND, "--once", "--socket", tmp_path / "s"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        server.stop(None).wait()
    assert done.returncode == 1
    assert done.stderr == f"lambda-sidecar: the sidecar on {tmp_path}/s is too old to tell: restart it\n"


def test_a_call_that_waits_for_sts_says_so(tmp_path: Path) -> None:
    with aws_sidecar(tmp_path, aws_default_lambda_role=ROLE + "one") as aws:
        aws.sts.gate.clear()
        aws.stream.send("f")
        wait_until(lambda: aws.sts.requests, what="the request at STS")
        (call,) = snapshot(aws.sidecar.socket).calls
        aws.sts.gate.set()
        assert aws.stream.receive().result.status_code == 200
    assert (call.phase, call.subject.function) == (monitor_pb2.PHASE_CREDENTIALS, f"{ARN}f")


def test_a_snapshot_tells_everything_of_a_call_but_its_payload(tmp_path: Path) -> None:
    with held_calls(tmp_path) as (aws, _):
        aws.stream.ask("quick:live", f'"{CANARY}"'.encode())
        aws.stream.error("quick", b"{")
        aws.stream.send("held", f'"{CANARY}"'.encode(), invocation_type=invoker_pb2.INVOCATION_TYPE_EVENT)
        wait_until(lambda: aws.endpoint.paths[1:], what="the call at the endpoint")
        told = snapshot(aws.sidecar.socket)
    assert CANARY.encode() not in told.SerializeToString()
    (call,) = told.calls
    subject = monitor_pb2.CallSubject(
        user="app", host="%", connection_id=7, function=f"{ARN}held", invocation_type="Event"
    )
    assert (call.subject, call.phase) == (subject, monitor_pb2.PHASE_SENT)
    assert 0 < call.age_us < 20_000_000
    quick = next(slow for slow in told.slow if slow.subject.function == f"{ARN}quick:live")
    assert (quick.outcome, quick.request_id, quick.queued_us) == ("success", "r-1", 0)
    assert 0 < quick.duration_us < 20_000_000
    counts = {count.outcome: count.calls for count in told.outcomes if count.calls}
    assert counts == {"success": 1, "invalid": 1}
    assert (told.in_flight, told.running, told.waiting, told.max_concurrency) == (1, 1, 0, 1000)
    assert told.sent_bytes == len(CANARY) + 2


def test_a_snapshot_is_bounded(tmp_path: Path) -> None:
    with held_calls(tmp_path) as (aws, _), open_stream(aws.sidecar.socket) as stream:
        for number in range(50):
            stream.ask(f"quick-{number}")
        for number in range(130):
            stream.send(f"held-{number}")
        wait_until(lambda: snapshot(aws.sidecar.socket).in_flight == 130, what="the calls")
        by_default, few, many = (snapshot(aws.sidecar.socket, most) for most in (0, 7, 4_000_000_000))
    assert (len(by_default.calls), len(few.calls), len(many.calls)) == (100, 7, 130)
    assert [call.subject.function for call in few.calls] == [f"{ARN}held-{n}" for n in range(7)], "the oldest"
    assert len(by_default.slow) == 20
    durations = [call.duration_us for call in by_default.slow]
    assert durations == sorted(durations, reverse=True)
