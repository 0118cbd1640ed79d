"""Concurrency, throttling, Events with their retries, and what the record shows of open requests."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.local.local_support import PID, SIGNED, WAIT_FOR_FILE, Running, running, write_function
from tests.support.waiting import until

# Fails until it was called often enough; notes every call.
FLAKY = """
    import pathlib
    def lambda_handler(event, context):
        calls = pathlib.Path(event["calls"])
        with calls.open("a") as file:
            file.write(context.aws_request_id + "\\n")
        if len(calls.read_text().splitlines()) < event["works_at"]:
            raise ValueError("not yet")
"""


async def all_started(local: Running, function: str, count: int) -> None:
    async def started() -> bool:
        return sum(one["started"] is not None for one in await local.record(function)) >= count

    await until(started)


async def test_a_warm_worker_is_used_again_and_calls_at_once_get_workers_of_their_own(tmp_path: Path) -> None:
    write_function(tmp_path, "F", PID)
    write_function(tmp_path, "Wait", WAIT_FOR_FILE, "timeout = 30")
    async with running(tmp_path) as local:
        assert len({(await local.invoke("F")).value for _ in range(5)}) == 1
        event = {"go": str(tmp_path / "go")}
        calls = [asyncio.create_task(local.invoke("Wait", event)) for _ in range(4)]
        await all_started(local, "Wait", 4)
        assert await local.local("requests") == {"open": 4, "most_open": 4}
        (tmp_path / "go").touch()
        assert len({answer.value for answer in await asyncio.gather(*calls)}) == 4
        assert await local.local("requests") == {"open": 0, "most_open": 4}
        url = f"{local.service.endpoint}/_local/invocations"
        async with local.http.delete(url, headers=SIGNED) as response:
            assert response.status == 204
        assert await local.record() == []
        assert await local.local("requests") == {"open": 0, "most_open": 0}


@pytest.mark.parametrize(
    ("settings", "limit", "reason"),
    [
        ("concurrency = 2", 100, "ReservedFunctionConcurrentInvocationLimitExceeded"),
        ("", 2, "ConcurrentInvocationLimitExceeded"),
    ],
)
async def test_beyond_the_limit_a_call_gets_429_and_an_event_waits(
    tmp_path: Path, settings: str, limit: int, reason: str
) -> None:
    write_function(tmp_path, "F", WAIT_FOR_FILE, f"timeout = 30\n{settings}")
    event = {"go": str(tmp_path / "go")}
    async with running(tmp_path, concurrency=limit) as local:
        calls = [asyncio.create_task(local.invoke("F", event)) for _ in range(2)]
        await all_started(local, "F", 2)
        error = await local.error("F", event)
        assert (error["status"], error["class"]) == (429, "TooManyRequestsException")
        assert (error["Message"], error["Reason"]) == ("Rate Exceeded.", reason)
        assert (await local.invoke("F", event, InvocationType="Event")).status == 202
        record = await local.record()
        assert [one["outcome"] for one in record] == [None, None, "throttled", None]
        assert record[3]["started"] is None
        (tmp_path / "go").touch()
        await asyncio.gather(*calls)

        async def event_done() -> bool:
            return bool((await local.record())[3]["outcome"] == "ok")

        await until(event_done)
        for _ in range(10):  # one after the other never exceeds any limit
            assert (await local.invoke("F", event)).error is None


async def test_idle_workers_make_room_for_other_functions(tmp_path: Path) -> None:
    for number in range(4):
        write_function(tmp_path, f"F{number}", PID)
    async with running(tmp_path, concurrency=2) as local:
        for number in range(4):
            assert (await local.invoke(f"F{number}")).error is None


async def test_an_event_that_fails_is_tried_twice_more_with_the_same_request_id(tmp_path: Path) -> None:
    write_function(tmp_path, "F", FLAKY)
    calls = tmp_path / "calls"
    async with running(tmp_path, event_retry_seconds=(0.05, 0.1)) as local:

        async def ended(count: int) -> list[dict[str, Any]]:
            record = await local.record("F")
            return record if len(record) == count and record[-1]["outcome"] else []

        sent = await local.invoke("F", {"calls": str(calls), "works_at": 9}, InvocationType="Event")
        record: list[dict[str, Any]] = await until(lambda: ended(3))
        assert [(one["attempt"], one["outcome"]) for one in record] == [
            (1, "error"),
            (2, "error"),
            (3, "error"),
        ]
        assert {one["request_id"] for one in record} == {sent.request_id}
        assert calls.read_text().splitlines() == [sent.request_id] * 3
        assert record[1]["arrived"] - record[0]["finished"] >= 0.04
        assert record[2]["arrived"] - record[1]["finished"] >= 0.09
        calls.unlink()
        await local.invoke("F", {"calls": str(calls), "works_at": 2}, InvocationType="Event")
        record = await until(lambda: ended(5))
        assert [one["outcome"] for one in record[3:]] == ["error", "ok"]


async def test_many_events_all_run_within_the_limit(tmp_path: Path) -> None:
    write_function(tmp_path, "F", PID, "concurrency = 2")
    async with running(tmp_path) as local:
        answers = await asyncio.gather(*(local.invoke("F", InvocationType="Event") for _ in range(60)))
        assert {answer.status for answer in answers} == {202}

        async def done() -> bool:
            return all(one["outcome"] == "ok" for one in await local.record())

        await until(done)
        assert len(await local.record()) == 60


async def test_a_client_that_hangs_up_is_seen_at_once_and_the_function_runs_on(tmp_path: Path) -> None:
    write_function(tmp_path, "F", WAIT_FOR_FILE, "timeout = 30")
    payload = f'{{"go": "{tmp_path / "go"}"}}'
    async with running(tmp_path) as local:
        url = f"{local.service.endpoint}/2015-03-31/functions/F/invocations"
        async with aiohttp.ClientSession() as client:
            call = asyncio.create_task(client.post(url, data=payload, headers=SIGNED))
            await all_started(local, "F", 1)
            assert (await local.record())[0]["client_connected"] is True
            call.cancel()
            await asyncio.wait({call})

        async def gone() -> bool:
            return bool((await local.local("requests"))["open"] == 0)

        await until(gone)
        one = (await local.record())[0]
        assert (one["client_connected"], one["outcome"]) == (False, None)
        (tmp_path / "go").touch()

        async def finished() -> bool:
            return bool((await local.record())[0]["outcome"] == "ok")

        await until(finished)


async def test_the_record_is_bounded(tmp_path: Path) -> None:
    write_function(tmp_path, "F", PID)
    async with running(tmp_path, recorded_invocations=3) as local:
        for number in range(5):
            await local.invoke("F", number)
        assert [one["payload"] for one in await local.record()] == ["2", "3", "4"]
        assert await local.record("G") == []
