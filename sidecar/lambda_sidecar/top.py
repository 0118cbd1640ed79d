"""`lambda-sidecar top`: what runs now and what was slow, drawn again every other second, or printed once.

Knows the sidecar's socket and the terminal; what is drawn stands in top_screen.py."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import sys
import termios
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import grpc

from lambda_sidecar.text_cells import fitted, harmless
from lambda_sidecar.top_screen import Moment, screen
from lambda_udf.v1 import monitor_pb2, monitor_pb2_grpc

ANSWER_SECONDS = 5.0
# xterm's control sequences (ECMA-48 and DEC's private modes): the other screen, no cursor; home; erase.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _ERASE_LINE, _ERASE_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


class TopError(Exception):
    """There is nothing to show; the text says why and what to do."""


class _Ended(Exception):
    """SIGTERM or SIGHUP: the terminal is put right first."""


def once(path: Path) -> None:
    """Prints one snapshot, all its lines; 80 columns unless COLUMNS or the terminal says otherwise. Raises
    TopError."""
    with _connection(path) as monitor:
        columns = shutil.get_terminal_size().columns
        lines = screen(_moment(monitor, path), None, str(path), columns=columns, lines=None)
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def watch(path: Path, interval: float) -> None:
    """Draws until q or Ctrl-C. `interval` in seconds. Raises TopError where no sidecar answers at first;
    one that goes away later is waited for."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise TopError("top draws on a terminal; use --once to print")
    with contextlib.suppress(KeyboardInterrupt, _Ended), _connection(path) as monitor:
        now, before = _moment(monitor, path), None
        with _terminal():
            while True:
                size = shutil.get_terminal_size()
                _draw(screen(now, before, str(path), columns=size.columns, lines=size.lines))
                if _is_left(interval):
                    return
                now, before = _next(monitor, path, interval), now


def _next(monitor: monitor_pb2_grpc.MonitorStub, path: Path, interval: float) -> Moment:
    """The next moment, however long there is none. Raises KeyboardInterrupt when it is left meanwhile."""
    while True:
        try:
            return _moment(monitor, path)
        except TopError as error:
            columns = shutil.get_terminal_size().columns
            _draw([fitted(harmless(f"{error}; trying again"), columns)])
            if _is_left(interval):
                raise KeyboardInterrupt from None


def _draw(lines: list[str]) -> None:
    """In one write, over what was there: no flicker. Nothing ends the last line: it would scroll."""
    text = "\n".join(line + _ERASE_LINE for line in lines)
    sys.stdout.write(_HOME + text + _ERASE_BELOW)
    sys.stdout.flush()


def _is_left(seconds: float) -> bool:
    """Waits so long, or until a key says that it is enough."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if select.select([sys.stdin], [], [], left)[0]:
            keys = os.read(sys.stdin.fileno(), 64)
            if not keys or b"q" in keys or b"Q" in keys:
                return True
    return False


@contextlib.contextmanager
def _terminal() -> Iterator[None]:
    """The other screen and keys without Enter; afterwards everything as it was."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise _Ended(number)

    keyboard = sys.stdin.fileno()
    attributes = termios.tcgetattr(keyboard)
    handlers = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        tty.setcbreak(keyboard)
        sys.stdout.write(_ENTER)
        yield
    finally:
        with contextlib.suppress(OSError, termios.error):  # the terminal itself may be gone
            termios.tcsetattr(keyboard, termios.TCSADRAIN, attributes)
            sys.stdout.write(_LEAVE)
            sys.stdout.flush()
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _connection(path: Path) -> Iterator[monitor_pb2_grpc.MonitorStub]:
    options = (("grpc.default_authority", "localhost"),)
    with grpc.insecure_channel(f"unix:{path.absolute()}", options=options) as channel:
        yield monitor_pb2_grpc.MonitorStub(channel)


def _moment(monitor: monitor_pb2_grpc.MonitorStub, path: Path) -> Moment:
    _knock(path)
    try:
        snapshot = monitor.Snapshot(
            monitor_pb2.SnapshotRequest(), timeout=ANSWER_SECONDS, wait_for_ready=True
        )
    except grpc.RpcError as error:
        code = error.code()
        if code is grpc.StatusCode.UNIMPLEMENTED:
            raise TopError(f"the sidecar on {path} is too old to tell: restart it") from None
        raise TopError(f"the sidecar on {path} does not answer: {code.name}") from None
    return Moment(snapshot, time.monotonic())


def _knock(path: Path) -> None:
    """The kernel says in plain words why there is no connection."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(ANSWER_SECONDS)
        try:
            probe.connect(str(path))
        except OSError as error:
            raise TopError(f"no sidecar listens on {path}: {error.strerror or error}") from None
