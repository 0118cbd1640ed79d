"""The workers: a warm one is used again, otherwise a new one is started; edited code gets new workers.
Knows nothing of concurrency limits (slots.py) or of HTTP."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections import deque
from pathlib import Path

from lambda_sidecar.local.function import Function
from lambda_sidecar.local.invocation import Invocation, Outcome
from lambda_sidecar.local.tasks import Tasks
from lambda_sidecar.local.worker import InitFailed, Worker

_logger = logging.getLogger(__name__)
_Key = tuple[str, str, str]  # function name, revision, region


class Fleet:
    """All workers. folder: holds the private folder of each; most: how many processes are kept."""

    def __init__(self, folder: Path, *, most: int, idle_seconds: float) -> None:
        self.folder = folder
        self.most = most
        self.idle_seconds = idle_seconds
        self.workers: set[Worker] = set()
        self.tasks = Tasks()
        self.endings = Tasks()
        self.numbers = itertools.count()
        self.starting = 0
        # To start an interpreter takes processor time: more at once would only make each miss its 10 seconds.
        self.starts = asyncio.Semaphore(2 * (os.cpu_count() or 1))
        self._groups: dict[_Key, _Group] = {}

    async def run(self, function: Function, invocation: Invocation) -> Outcome:
        """Runs one invocation on a worker of this revision. A failure of the function is in the outcome.
        Raises OSError where no worker can be started."""
        group = self._group(function, invocation.target.region)
        try:
            worker = await group.take()
            while not worker.idle:  # ended just now
                group.give_back(worker)
                worker = await group.take()
        except InitFailed as failure:
            return failure.outcome(invocation.request_id)
        try:
            return await worker.invoke(invocation)
        finally:
            group.give_back(worker)

    async def stop(self) -> None:
        """Ends every worker and everything that runs on one."""
        await self.tasks.cancel()
        for group in self._groups.values():
            group.retire()
        for worker in list(self.workers):
            self.end(worker)
        await self.endings.finish()

    def end(self, worker: Worker) -> None:
        """Ends a worker in the background; does nothing the second time."""
        if worker in self.workers:
            self.workers.discard(worker)
            self.endings.start(worker.stop(), name=f"end of a worker of {worker.function.name}")

    def make_room(self) -> None:
        """Ends idle workers, the longest idle first, as far as those that start need room."""
        surplus = len(self.workers) + self.starting - self.most
        idle = sorted(
            (one for group in self._groups.values() for one in group.idle_since()), key=lambda x: x[0]
        )
        for _, group, worker in idle[: max(surplus, 0)]:
            group.end_idle(worker)

    def _group(self, function: Function, region: str) -> _Group:
        key = (function.name, function.revision, region)
        group = self._groups.get(key)
        if group is None:
            for other in [
                one for one in self._groups if one[0] == function.name and one[1] != function.revision
            ]:
                self._groups.pop(other).retire()
            group = self._groups[key] = _Group(self, function, region)
        return group


class _Group:
    """The interchangeable workers: one function, one revision of its code, one region."""

    def __init__(self, fleet: Fleet, function: Function, region: str) -> None:
        self._fleet = fleet
        self._function = function
        self._region = region
        self._idle: dict[Worker, tuple[float, asyncio.TimerHandle]] = {}  # the newest last
        # Each waiting invocation has started one worker, and takes whichever comes first: that one, or one
        # that another invocation gives back.
        self._waiting: deque[asyncio.Future[Worker]] = deque()
        self._retired = False

    async def take(self) -> Worker:
        """A worker that waits for an event. Raises InitFailed, or OSError if the machine is full."""
        while self._idle:
            worker, (_, timer) = self._idle.popitem()
            timer.cancel()
            if worker.idle:
                return worker
            self._fleet.end(worker)
        waiting: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        self._fleet.tasks.start(self._start_one(), name=f"start of a worker of {self._function.name}")
        return await waiting

    def give_back(self, worker: Worker) -> None:
        """Keeps a worker for the next invocation, or ends it."""
        if self._retired or not worker.alive:
            self._fleet.end(worker)
        elif worker.idle:
            self._offer(worker)
        else:
            self._fleet.tasks.start(self._settle(worker), name=f"worker of {self._function.name}")

    def retire(self) -> None:
        """The code has changed: idle workers end now, busy ones after their invocation."""
        self._retired = True
        for worker in list(self._idle):
            self.end_idle(worker)

    def idle_since(self) -> list[tuple[float, _Group, Worker]]:
        """The idle workers, each with the loop's time at which it became idle."""
        return [(since, self, worker) for worker, (since, _) in self._idle.items()]

    def end_idle(self, worker: Worker) -> None:
        """Ends one that is idle; does nothing if it has been taken meanwhile."""
        found = self._idle.pop(worker, None)
        if found is not None:
            found[1].cancel()
            self._fleet.end(worker)

    async def _start_one(self) -> None:
        try:
            async with self._fleet.starts:
                if not any(not waiting.done() for waiting in self._waiting):
                    return  # workers that came back served everyone
                self._fleet.starting += 1
                try:
                    self._fleet.make_room()
                    folder = self._fleet.folder / f"worker-{next(self._fleet.numbers)}"
                    worker = await Worker.start(self._function, self._region, folder)
                finally:
                    self._fleet.starting -= 1
        except Exception as error:
            if not isinstance(error, InitFailed):
                _logger.exception("local Lambda: cannot start a worker of %s", self._function.name)
            waiting = self._first_waiting()
            if waiting is not None:
                waiting.set_exception(error)
            return
        self._fleet.workers.add(worker)
        worker.exited.add_done_callback(lambda _: self.end_idle(worker))
        self._offer(worker)

    async def _settle(self, worker: Worker) -> None:
        # It answered and did not ask for the next event: it may do so for as long as an invocation may take.
        await worker.settle(self._function.timeout)
        if worker.idle and not self._retired:
            self._offer(worker)
        else:
            self._fleet.end(worker)

    def _offer(self, worker: Worker) -> None:
        waiting = self._first_waiting()
        if waiting is not None:
            waiting.set_result(worker)
        elif self._retired:
            self._fleet.end(worker)
        else:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self._fleet.idle_seconds, self.end_idle, worker)
            self._idle[worker] = (loop.time(), timer)

    def _first_waiting(self) -> asyncio.Future[Worker] | None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                return waiting
        return None
