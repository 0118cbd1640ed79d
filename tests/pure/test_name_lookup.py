"""The short memory of host names' addresses: one question at a time, nothing kept of failures.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import types
from typing import Any

import pytest

from lambda_sidecar.http.name_lookup import KEEP_SECONDS, NAMES_MAX, NameLookup

ADDRESS = [(2, 1, 6, "", ("127.0.0.1", 80))]


class Resolver:
    """Takes the system's place: answers each question when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.questions: list[asyncio.Future[list[Any]]] = []
        clock = types.SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr("lambda_sidecar.http.name_lookup.time", clock)
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self._ask)

    async def _ask(self, *_: object, **__: object) -> list[Any]:
        self.questions.append(asyncio.get_running_loop().create_future())
        return await self.questions[-1]

    async def asked(self, names: NameLookup, host: str = "a") -> asyncio.Task[list[Any]]:
        """A caller that waits for its answer."""
        task = asyncio.create_task(names.addresses(host, 80))
        for _ in range(5):
            await asyncio.sleep(0)
        return task


async def test_who_asks_while_the_resolver_takes_its_time_waits_for_the_same_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolver, names = Resolver(monkeypatch), NameLookup()
    first = await resolver.asked(names)
    resolver.now += 10 * KEEP_SECONDS
    second = await resolver.asked(names)
    assert len(resolver.questions) == 1
    resolver.questions[0].set_result(ADDRESS)
    assert [await first, await second] == [ADDRESS, ADDRESS]


async def test_an_answer_is_kept_from_the_moment_at_which_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver, names = Resolver(monkeypatch), NameLookup()
    first = await resolver.asked(names)
    resolver.now += 10 * KEEP_SECONDS
    resolver.questions[0].set_result(ADDRESS)
    await first
    resolver.now += KEEP_SECONDS - 0.01
    await asyncio.wait_for(names.addresses("a", 80), 5)
    assert len(resolver.questions) == 1
    resolver.now += 0.01
    later = await resolver.asked(names)
    assert len(resolver.questions) == 2
    resolver.questions[1].set_result(ADDRESS)
    await later


async def test_an_older_question_that_fails_last_forgets_nothing_but_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever asks meets no error of ours, and the event loop none either."""
    resolver, names = Resolver(monkeypatch), NameLookup()
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    older = await resolver.asked(names)
    for number in range(NAMES_MAX):  # the older one's place is taken
        await resolver.asked(names, f"b{number}")
    resolver.now += 2 * KEEP_SECONDS
    newer = await resolver.asked(names)
    resolver.questions[-1].set_exception(OSError("newer"))
    with pytest.raises(OSError, match="newer"):
        await newer
    resolver.questions[0].set_exception(OSError("older"))
    with pytest.raises(OSError, match="older"):
        await older
    for question in resolver.questions[1:-1]:
        question.set_result(ADDRESS)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert complaints == []


async def test_an_older_question_that_fails_last_does_not_forget_the_newer_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolver, names = Resolver(monkeypatch), NameLookup()
    older = await resolver.asked(names)
    waiting = [await resolver.asked(names, f"b{number}") for number in range(NAMES_MAX)]
    resolver.now += 2 * KEEP_SECONDS
    newer = await resolver.asked(names)
    for question in resolver.questions[1:]:
        question.set_result(ADDRESS)
    await asyncio.wait_for(asyncio.gather(newer, *waiting), 5)
    resolver.questions[0].set_exception(OSError("older"))
    with pytest.raises(OSError, match="older"):
        await older
    asked = len(resolver.questions)
    assert await asyncio.wait_for(names.addresses("a", 80), 5) == ADDRESS
    assert len(resolver.questions) == asked


async def test_a_failure_is_not_kept_and_a_caller_that_leaves_takes_nothing_from_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolver, names = Resolver(monkeypatch), NameLookup()
    leaves, stays = await resolver.asked(names), await resolver.asked(names)
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    resolver.questions[0].set_exception(OSError("no"))
    with pytest.raises(OSError, match="no"):
        await stays
    again = await resolver.asked(names)
    resolver.questions[1].set_result(ADDRESS)
    assert await again == ADDRESS


async def test_so_many_names_are_remembered_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver, names = Resolver(monkeypatch), NameLookup()
    for number in range(NAMES_MAX + 1):
        waiting = await resolver.asked(names, f"n{number}")
        resolver.questions[number].set_result(ADDRESS)
        await waiting
    await asyncio.wait_for(names.addresses(f"n{NAMES_MAX}", 80), 5)
    assert len(resolver.questions) == NAMES_MAX + 1
    first = await resolver.asked(names, "n0")
    assert len(resolver.questions) == NAMES_MAX + 2
    resolver.questions[-1].set_result(ADDRESS)
    await first
