"""`lambda-sidecar top`: what runs now, each function, and what was slow; drawn again and again, or once.

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

from lambda_sidecar.contract.client import MonitorClient, NoAnswer, monitor
from lambda_sidecar.monitoring.moments import History, Moment
from lambda_sidecar.monitoring.styled_line import Line, Style, cut, line, plain, written
from lambda_sidecar.monitoring.text_cells import harmless
from lambda_sidecar.monitoring.top_screen import Section, View, screen

CONNECT_SECONDS = 5.0
# How often a wait for the sidecar's answer looks whether it is still wanted.
LOOK_SECONDS = 0.005
# xterm's control sequences (ECMA-48 and DEC's private modes): the other screen, no cursor; home; erase.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _ERASE_LINE, _ERASE_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


class TopError(Exception):
    """There is nothing to show; the text says why and what to do."""


class _Left(Exception):
    """A key or a signal says that it is enough: the terminal is put right, and that is the end."""


def once(path: Path) -> str:
    """One snapshot as text, all its lines and without colours; 80 columns unless COLUMNS or the terminal says
    otherwise. Raises TopError."""
    with monitor(path) as sidecar:
        view = View(columns=shutil.get_terminal_size().columns, lines=None)
        lines = screen(_moment(sidecar, path), None, str(path), view)
    return "\n".join(plain(each) for each in lines)


class _Choice:
    """What the user wants to see, by the keys pressed so far."""

    def __init__(self) -> None:
        self.only: Section | None = None
        self.paused = False

    def press(self, keys: bytes) -> None:
        """Raises _Left."""
        for key in keys.decode(errors="replace").lower():
            if key == "q":
                raise _Left
            if key == "p":
                self.paused = not self.paused
            elif key == "a":
                self.only = None
            elif key in {section.value for section in Section}:
                self.only = Section(key)


def watch(path: Path, interval: float) -> None:
    """Draws until q or Ctrl-C. `interval` in seconds. Raises TopError where no sidecar answers at first;
    one that goes away later is waited for."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise TopError("top draws on a terminal; use --once to print")
    choice, history = _Choice(), History()
    with contextlib.suppress(_Left), _signals() as signals, monitor(path) as sidecar:
        now = _moment(sidecar, path, signals)
        past = history.add(now)
        with _terminal():
            while True:
                until = time.monotonic() + interval
                _draw(screen(now, past, str(path), _view(choice)))
                while _pressed(until, choice, signals):
                    _draw(screen(now, past, str(path), _view(choice)))
                if not choice.paused:
                    now = _next(sidecar, path, interval, choice, signals)
                    past = history.add(now)


def _view(choice: _Choice) -> View:
    size = shutil.get_terminal_size()
    return View(size.columns, size.lines, choice.only, choice.paused)


def _next(sidecar: MonitorClient, path: Path, interval: float, choice: _Choice, signals: int) -> Moment:
    """The next moment, however long there is none. Raises _Left."""
    while True:
        try:
            return _moment(sidecar, path, signals)
        except TopError as error:
            columns = shutil.get_terminal_size().columns
            _draw([cut(line(harmless(f"{error}; trying again"), Style.BAD), columns)])
            until = time.monotonic() + interval
            while _pressed(until, choice, signals):
                pass


def _draw(lines: list[Line]) -> None:
    """In one write, over what was there: no flicker. Nothing ends the last line: it would scroll."""
    text = "\n".join(written(each, colours=_colours()) + _ERASE_LINE for each in lines)
    sys.stdout.write(_HOME + text + _ERASE_BELOW)
    sys.stdout.flush()


def _colours() -> bool:
    """As https://no-color.org and terminfo's "dumb" have it."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _pressed(until: float, choice: _Choice, signals: int) -> bool:
    """Waits until then (time.monotonic()) for a key. True: one was pressed. Raises _Left when a key or a
    signal says that it is enough."""
    ready = select.select([sys.stdin, signals], [], [], max(0.0, until - time.monotonic()))[0]
    if signals in ready:
        raise _Left
    if not ready:
        return False
    keys = os.read(sys.stdin.fileno(), 64)
    if not keys:
        raise _Left
    choice.press(keys)
    return True


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """A descriptor that can be read after SIGINT, SIGTERM or SIGHUP. A handler that raises will not do: it
    may run inside gRPC's own code, where what it raises is lost."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def note(_number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(BlockingIOError):  # it is full of what says the same
            os.write(writing, b"!")

    handlers = {
        number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield reading
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


@contextlib.contextmanager
def _terminal() -> Iterator[None]:
    """The other screen and keys without Enter; afterwards everything as it was."""
    keyboard = sys.stdin.fileno()
    attributes = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        sys.stdout.write(_ENTER)
        yield
    finally:
        with contextlib.suppress(OSError, termios.error):  # the terminal itself may be gone
            termios.tcsetattr(keyboard, termios.TCSADRAIN, attributes)
            sys.stdout.write(_LEAVE)
            sys.stdout.flush()


def _moment(sidecar: MonitorClient, path: Path, signals: int | None = None) -> Moment:
    """Raises TopError, and _Left if `signals` can be read before the answer is there."""
    _knock(path)
    watched = [] if signals is None else [signals]
    try:
        snapshot = sidecar.snapshot(lambda: not select.select(watched, [], [], LOOK_SECONDS)[0])
    except NoAnswer as error:
        if error.is_unknown_method:
            raise TopError(f"the sidecar on {path} is too old to tell: restart it") from None
        raise TopError(f"the sidecar on {path} does not answer: {error.code}") from None
    if snapshot is None:
        raise _Left
    return Moment(snapshot, time.monotonic())


def _knock(path: Path) -> None:
    """The kernel says in plain words why there is no connection."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT_SECONDS)
        try:
            probe.connect(str(path))
        except OSError as error:
            raise TopError(f"no sidecar listens on {path}: {error.strerror or error}") from None
