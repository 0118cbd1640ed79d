"""A look that may hang, as one at the machine's user database may: in a thread that keeps nobody and nothing.

Knows threads and the event loop; not what is looked at."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable

from lambda_sidecar.calls.finding import Finding, Findings


class ThreadLook:
    """One thread for all who ask at a time, however many of them go while it looks. Not one of the loop's own
    threads: those are few, look up names for calls, and the process would wait for them at its end."""

    def __init__(self, work: Callable[[Findings], None], seconds: float, late: Finding) -> None:
        """Who has waited for `seconds` is given `late`."""
        self._work = work
        self._seconds = seconds
        self._late = late
        self._looking: asyncio.Future[list[Finding]] | None = None

    async def look(self, findings: Findings) -> None:
        """Hands on what was found. Raises what `work` raises."""
        looking = self._looking
        if looking is None or looking.done():
            looking = self._looking = self._start()
        try:
            async with asyncio.timeout(self._seconds):
                found = await asyncio.shield(looking)
        except TimeoutError:
            found = [self._late]
        for finding in found:
            findings.found(finding)

    def _start(self) -> asyncio.Future[list[Finding]]:
        outcome: concurrent.futures.Future[list[Finding]] = concurrent.futures.Future()

        def run() -> None:
            found: list[Finding] = []
            try:
                self._work(Findings(found.append))
            except Exception as error:  # it is raised where the look is awaited
                outcome.set_exception(error)
            else:
                outcome.set_result(found)

        threading.Thread(target=run, name="look", daemon=True).start()
        return asyncio.wrap_future(outcome)
