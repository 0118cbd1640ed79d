"""The common part of a private mysqld and a private sidecar: start, readiness, end, log.

Must not know which of them it is, nor how one is configured."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from lambda_sidecar.testing.process import ServerError, ServerProcess, log_tail

READY_SECONDS = 60.0
STOP_SECONDS = 30.0


class Server(ABC):
    """A server in `directory` that writes `log`; no other process has the arguments `identity`."""

    def __init__(self, name: str, directory: Path, log: Path, identity: Sequence[str]) -> None:
        self.name = name
        self.directory = directory
        self.log = log
        self.identity = tuple(identity)
        self._process: ServerProcess | None = None

    @abstractmethod
    def _spawn(self) -> ServerProcess:
        """Prepare the directory and start the program."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether a connection to it succeeds now."""

    def start(self, seconds: float = READY_SECONDS) -> Self:
        """Start, and wait until a connection succeeds. Leaves nothing running where it raises ServerError."""
        self.launch()
        return self.wait_until_ready(seconds)

    def launch(self) -> None:
        """Start without waiting; `wait_until_ready` has to follow. Raises ServerError if it runs already."""
        if self.running:
            raise ServerError(f"the {self.name} of {self.directory} runs already")
        self._process = self._spawn()

    def wait_until_ready(self, seconds: float = READY_SECONDS) -> Self:
        """Wait until a connection succeeds, or stop the server. Raises ServerError, which quotes its log."""
        try:
            self._wait_until_ready(time.monotonic() + seconds)
        except BaseException:
            self.stop(0)
            raise
        return self

    def _wait_until_ready(self, deadline: float) -> None:
        while not self.answers():
            if not self.running:
                status = self._process.status if self._process else None
                raise ServerError(f"{self.name} ended (status {status}) at its start:\n{log_tail(self.log)}")
            if time.monotonic() > deadline:
                raise ServerError(f"{self.name} is not ready in time:\n{log_tail(self.log)}")
            time.sleep(0.02)

    def attach(self) -> bool:
        """Take over the detached server of this directory, if one runs; False if none does."""
        if not self.running:
            self._process = ServerProcess.find(self.identity)
        return self.running

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int:
        if self._process is None or not self._process.running:
            raise ServerError(f"no {self.name} runs in {self.directory}")
        return self._process.pid

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """SIGTERM, and SIGKILL after `seconds`; fine when nothing runs."""
        if self._process is not None:
            self._process.stop(seconds)
            self._process = None

    def kill(self) -> None:
        """SIGKILL to this one process; fine when nothing runs."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def restart(self) -> Self:
        """Stop, then start as before."""
        self.stop()
        return self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def log_text(self) -> str:
        """Everything that it has written so far, stderr included."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def log_contains(self, text: str) -> bool:
        return text in self.log_text()
