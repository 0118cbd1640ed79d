"""The threads in which handlers run: started as they are needed, and not waited for at the interpreter's end.

Knows callables and threads; nothing of functions or of HTTP."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class HandlerThreads:
    """At most `most` threads. They are daemons: the end of the interpreter waits for each thread of a
    ThreadPoolExecutor, and a handler may hang."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._numbers = itertools.count()
        self._lock = threading.Lock()  # for the two counts
        self._threads = 0
        self._idle = 0

    def submit(self, function: Callable[..., _Result], *arguments: Any) -> Future[_Result]:
        """Calls the function in a thread that is idle, in a new one, or else in the first that will be."""
        future: Future[_Result] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function(*arguments))
            except BaseException as error:  # it belongs to whoever looks at the future
                future.set_exception(error)

        with self._lock:
            if self._idle:
                self._idle -= 1
            elif self._threads < self._most:
                name = f"lambda-function-{next(self._numbers)}"
                threading.Thread(target=self._run, name=name, daemon=True).start()
                self._threads += 1
            self._work.put(work)
        return future

    def stop(self) -> None:
        """Forgets what has not begun. Threads end once they are idle; nobody waits for them."""
        with self._lock:
            try:
                while True:
                    self._work.get_nowait()
            except Empty:
                pass
            for _ in range(self._threads):
                self._work.put(None)
            self._threads = self._most  # no more are started

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()
            del work  # with its arguments: what a test has made may go
            with self._lock:
                self._idle += 1
