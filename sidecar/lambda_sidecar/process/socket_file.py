"""The socket's file: who may make it, how a new sidecar's takes the place of an old one's, who removes it.

Knows files, the lock and who listens behind a path; nothing of calls."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from lambda_sidecar.config.config import SOCKET_PATH_MAX
from lambda_sidecar.contract.client import NoAnswer, is_serving_now

log = logging.getLogger(__name__)

SOCKET_MODE = 0o660


class StartError(Exception):
    """The sidecar cannot start; the text says why and what to do."""


class SocketFile:
    """`claim`, `bind`, `publish`; then `release` as soon as a successor may start, and `remove` once nobody
    shall connect any more. `close` undoes what a start that failed has left."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: TextIO | None = None
        self._folder = -1  # its descriptor, where the file's path would be too long for bind(2)
        self._beside: Path | None = None
        self.is_successor = False
        """Whether a sidecar that is stopping had the path at `claim`."""
        self._own: tuple[int, int] | None = None  # st_dev, st_ino of what was published

    async def claim(self) -> None:
        """One sidecar at a time: the lock, and, should somebody have deleted its file, a look at who listens.
        A sidecar that is stopping has released the lock and says that it does not serve: it is replaced.
        Raises StartError."""
        another = StartError(f"another sidecar serves {self._path}: stop it first")
        lock = self._path.with_name(self._path.name + ".lock")
        try:
            self._lock = _locked(lock)
        except BlockingIOError:
            raise another from None
        except OSError as error:
            raise StartError(
                f"cannot write {lock}: {error.strerror}; the socket's folder must be writable"
            ) from None
        if self._path.exists() and not self._path.is_socket():
            raise StartError(f"{self._path} exists and is not a socket: choose another path, or remove it")
        self.is_successor = _is_listening(self._path)
        if self.is_successor and await _is_serving(self._path):
            raise another

    def bind(self, listen: Callable[[str], object]) -> None:
        """`listen` takes an address, as gRPC writes them, under another name in the same folder: gRPC makes
        the file itself, and removes what is there before and after. Nobody may connect before the mode is
        right, so the umask decides it. Raises StartError."""
        self._remove_leftovers()
        self._beside = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}")
        before = os.umask(0o777 & ~SOCKET_MODE)
        try:
            listen(f"unix:{self._address(self._beside)}")
        except (RuntimeError, OSError) as error:
            raise StartError(f"cannot listen on {self._path}: {error}") from None
        finally:
            os.umask(before)

    def publish(self) -> None:
        """Takes the path over: from one moment to the next connections come here, and none finds nothing.
        Raises StartError."""
        if self._beside is None:
            raise StartError(f"nothing is bound for {self._path}")
        try:
            own = self._beside.stat()
            self._beside.replace(self._path)
        except OSError as error:
            raise StartError(f"cannot listen on {self._path}: {error.strerror}") from None
        self._beside = None
        self._own = (own.st_dev, own.st_ino)

    def release(self) -> None:
        """A successor may start."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def is_taken_over(self) -> bool:
        """Whether another socket is at the path now: a successor's."""
        status = _status(self._path)
        return (
            self._own is not None
            and status is not None
            and stat.S_ISSOCK(status.st_mode)
            and (status.st_dev, status.st_ino) != self._own
        )

    def remove(self) -> None:
        """After `release`. Nobody finds the socket any more, unless it is another's by now. Whatever is in
        the way costs a warning only. Where a successor is starting, it is left, and this can be repeated."""
        own, self._own = self._own, None
        if own is None:
            return
        try:
            # Under the lock: no successor can put its own there between the look and the removal.
            with _locked(self._path.with_name(self._path.name + ".lock")):
                self._remove(own)
        except BlockingIOError:
            self._own = own
        except OSError as error:
            log.warning("%s was not removed: %s", self._path, error.strerror)

    def _remove(self, own: tuple[int, int]) -> None:
        status = _status(self._path)
        if status is None:
            log.warning("%s is gone; it was not this sidecar that removed it", self._path)
        elif (status.st_dev, status.st_ino) == own:
            self._path.unlink()
        else:
            kind = "the socket of another process" if stat.S_ISSOCK(status.st_mode) else "no socket"
            log.warning("%s is %s by now; it stays", self._path, kind)

    def close(self) -> None:
        """Removes the file of a start that failed before `publish`, and gives the lock back."""
        if self._beside is not None:
            self._beside.unlink(missing_ok=True)
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1
        self.release()

    def _address(self, path: Path) -> str:
        """An address that bind(2) takes: `path` is longer than the socket's own, and too long perhaps."""
        if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
            return str(path)
        self._folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        self._beside = path.with_name(f".{secrets.token_hex(4)}.sock")
        return f"/proc/self/fd/{self._folder}/{self._beside.name}"

    def _remove_leftovers(self) -> None:
        """Of sidecars that were killed between `bind` and `publish`; the lock is ours."""
        digits = len(secrets.token_hex(4))
        for entry in self._path.parent.iterdir():
            prefix, _, token = entry.name.rpartition(".")
            if prefix == self._path.name and len(token) == digits and entry.is_socket():
                entry.unlink(missing_ok=True)


def _locked(path: Path) -> TextIO:
    """The open lock file; closing it gives the lock back. Raises BlockingIOError if another process has it,
    and OSError."""
    while True:
        file = path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            own, there = os.fstat(file.fileno()), _status(path)
        except OSError:
            file.close()
            raise
        # Deleted in between, it is no lock any more: others lock another file of that name.
        if there is not None and (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino):
            return file
        file.close()


def _status(path: Path) -> os.stat_result | None:
    """None: nothing that can be looked at."""
    try:
        return path.lstat()
    except OSError:
        return None


def _is_listening(path: Path) -> bool:
    """False: nothing is there, or the file of a sidecar that was killed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as connection:
        try:
            connection.connect(str(path))
        except BlockingIOError:  # unix(7): its queue of connections is full
            return True
        except OSError:
            return False
    return True


async def _is_serving(path: Path) -> bool:
    """Whether a sidecar says so. One that does not answer, or another program, is replaced."""
    try:
        return await is_serving_now(path)
    except NoAnswer as error:
        log.warning("%s: something listens there and does not answer: %s", path, error.code)
        return False
