"""The calls of one stream over a gRPC context in memory: the order of its end, its bounds, its answers.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import logging
import random

import grpc
import pytest
from tests.support.memory_stream import Served, served
from tests.support.waiting import until

from lambda_sidecar.contract import stream as module
from lambda_sidecar.contract.message import Response
from lambda_sidecar.contract.stream import UNANSWERED_MAX

# ---- answers ----


async def test_each_call_is_answered_when_it_ends_whatever_the_order_of_the_requests() -> None:
    async with served() as one:
        one.context.send(1, 2, 3)
        await one.settle()
        assert one.calls.begun == [1, 2, 3]
        for number in (2, 3, 1):
            one.calls.end(number)
            await one.settle()
        assert one.context.events == ["answer 2", "answer 3", "answer 1"]


async def test_answers_are_written_one_at_a_time_while_a_client_reads_slowly() -> None:
    async with served() as one:
        one.context.send(1, 2, 3)
        one.context.end()
        await one.settle()
        one.context.writable.clear()
        one.calls.end(3, 1, 2)
        await one.settle()
        assert one.context.events == []
        one.context.writable.set()
        assert sorted(await one.ended()) == ["answer 1", "answer 2", "answer 3"]


async def test_a_call_gets_its_payload_and_the_share_of_its_stream() -> None:
    async with served() as one, served() as other:
        one.context.send(1, payload=b"first")
        one.context.send(2, payload=b"second")
        other.context.send(1)
        await one.settle()
        assert one.calls.payloads == [b"first", b"second"]
        assert one.calls.shares[0] is one.calls.shares[1]
        assert one.calls.shares[0] is not other.calls.shares[0]


# ---- answers in parts ----


async def begun(one: Served) -> asyncio.Task[None]:
    """A part that is being written while the client reads nothing."""
    one.context.writable.clear()
    part = Response(call_id=1, part=b"x")
    writing = asyncio.create_task(one.stream._answers.write_part(part))
    await one.settle()
    return writing


async def test_whoever_waits_for_a_part_may_be_cancelled_and_the_next_answer_waits_for_its_end() -> None:
    async with served() as one:
        one.context.send(1)
        await one.settle()
        writing = await begun(one)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        one.calls.end(1)
        await one.settle()
        assert one.context.events == []
        one.context.writable.set()
        await one.settle()
        assert one.context.events == ["part 1", "answer 1"]


async def test_the_end_of_a_call_does_not_overtake_its_part_with_others_in_their_message() -> None:
    """The part waits behind another call's answer, and then nobody waits for it."""
    async with served() as one:
        one.context.send(1, takes_more=True, result_max=9)
        one.context.send(2, 3, takes_more=True)
        await one.settle()
        one.context.writable.clear()
        one.calls.end(2)
        await one.settle()
        one.calls.end(3)
        await one.settle()
        writing = asyncio.create_task(one.stream._answers.write_part(Response(call_id=1, part=b"x")))
        await one.settle()
        writing.cancel()
        one.calls.end(1)
        await one.settle()
        one.context.writable.set()
        await one.settle()
        assert one.context.events == ["answer 2", "answer 3", "part 1", "answer 1"]


async def test_a_part_for_a_client_that_has_gone_ends_its_call_as_one_that_nobody_waits_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with served() as one:
        for is_cancelled in (False, True):
            writing = await begun(one)
            one.context.write_error = grpc.aio.InternalError("gone")
            if is_cancelled:
                writing.cancel()
            one.context.writable.set()
            with pytest.raises(asyncio.CancelledError):
                await writing
            await one.settle()
            one.context.write_error = None
    assert {record.levelname for record in caplog.records} <= {"DEBUG"}


# ---- several in one message ----


def numbers_in(event: str) -> set[int]:
    """Of the answers that were written in one message."""
    return set(map(int, event.removeprefix("answer ").split()))


async def test_requests_of_one_message_are_calls_like_any_and_their_answers_go_together_where_they_wait() -> (
    None
):
    async with served() as one:
        one.context.send_together(1, 2, 3, 4, payload=b"{}")
        await one.settle()
        assert sorted(one.calls.begun) == [1, 2, 3, 4]
        assert one.calls.payloads == [b"{}"] * 4
        one.context.writable.clear()
        one.calls.end(4)
        await one.settle()
        one.calls.end(2, 1, 3)
        await one.settle()
        one.context.writable.set()
        await one.settle()
        assert list(map(numbers_in, one.context.events)) == [{4}, {1, 2, 3}]


async def test_the_answer_of_a_client_that_reads_one_at_a_time_goes_alone() -> None:
    async with served() as one:
        one.context.send_together(1, 2)
        one.context.send(3, 4)
        await one.settle()
        one.context.writable.clear()
        for number in (3, 1, 4, 2):
            one.calls.end(number)
            await one.settle()
        one.context.writable.set()
        await one.settle()
        assert list(map(numbers_in, one.context.events)) == [{3}, {1, 2}, {4}]


async def test_no_more_answers_go_together_than_a_client_reads_nor_more_bytes_than_are_copied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def together(calls: int) -> list[int]:
        """How many went in each message, of answers that waited for the first."""
        async with served() as one:
            one.context.send_together(*range(1, calls + 1))
            await one.settle()
            one.context.writable.clear()
            one.calls.end(1)
            await one.settle()
            one.calls.end(*range(2, calls + 1))
            await one.settle()
            one.context.writable.set()
            await one.settle()
            return [len(numbers_in(event)) for event in one.context.events]

    monkeypatch.setattr(module, "MORE_MAX", 10)
    assert await together(9) == [1, 8]
    monkeypatch.setattr(module, "TOGETHER_BYTES", 3 * 2)  # each has two bytes
    assert await together(9) == [1, 3, 3, 2]
    monkeypatch.setattr(module, "TOGETHER_BYTES", 1000)
    assert await together(11) == [1, 10]
    monkeypatch.setattr(module, "MORE_MAX", 3)
    assert await together(4) == [1, 3]


async def test_all_requests_of_a_message_are_taken_or_none(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as one:
        one.context.send_together(1, 2, 3)
        await one.settle()
        one.draining.set()
        await one.settle()
        one.context.send_together(4, 5)
        one.calls.end(1, 2, 3)
        assert "trailers 3" in await one.ended()
        assert sorted(one.calls.begun) == [1, 2, 3]


@pytest.mark.parametrize("more", [[b"\xff"], [b""] * 64], ids=["broken", "too many"])
async def test_a_message_whose_further_requests_cannot_be_taken_ends_its_stream(more: list[bytes]) -> None:
    async with served() as one:
        one.context.send(1, more=more)
        assert await one.ended() == ["code INTERNAL"]
        assert one.calls.begun == []


async def test_a_client_that_leaves_while_answers_wait_for_one_ends_all_of_them() -> None:
    async with served() as one:
        one.context.send_together(1, 2, 3)
        await one.settle()
        one.context.writable.clear()
        one.context.write_error = grpc.aio.UsageError("gone")
        one.calls.end(1, 2)
        await one.settle()
        one.context.writable.set()
        assert await one.ended() == ["code INTERNAL"]


# ---- the end ----


async def test_a_stream_whose_client_has_no_more_ends_when_all_is_answered_and_with_no_status_of_its_own() -> (
    None
):
    async with served() as one:
        one.context.send(1, 2)
        one.context.end()
        await one.settle()
        one.calls.end(1)
        await one.settle()
        assert not one.task.done()
        one.calls.end(2)
        assert await one.ended() == ["answer 1", "answer 2"]


async def test_a_stream_that_never_had_a_request_ends_at_once() -> None:
    async with served() as one:
        one.context.end()
        assert await one.ended() == []


async def test_a_read_that_fails_ends_the_stream_as_the_clients_end_does() -> None:
    async with served() as one:
        one.context.send(1)
        await one.settle()
        one.context.read_error = grpc.aio.UsageError("RPC already finished.")
        one.context.send(2)
        await one.settle()
        one.calls.end(1, 2)
        assert sorted(await one.ended()) == ["answer 1", "answer 2"]


async def test_a_sidecar_that_stops_answers_what_it_has_taken_and_then_names_the_last_of_it() -> None:
    async with served() as one:
        one.context.send(1, 2)
        await one.settle()
        one.draining.set()
        await one.settle()
        one.context.send(3)
        one.calls.end(2)
        await one.settle()
        assert not one.task.done()
        one.calls.end(1)
        assert await one.ended() == ["answer 2", "answer 1", "trailers 2", "code UNAVAILABLE"]
        assert one.calls.begun == [1, 2]
        assert one.context.requests.qsize() == 1


async def test_a_sidecar_that_stops_has_taken_nothing_of_an_idle_stream() -> None:
    async with served() as one:
        one.draining.set()
        assert await one.ended() == ["trailers 0", "code UNAVAILABLE"]


@pytest.mark.parametrize("seed", range(30))
async def test_in_whatever_moment_it_stops_what_lies_beyond_the_last_call_was_never_begun(seed: int) -> None:
    """The client sends those again: one that had begun would be carried out twice."""
    chance = random.Random(seed)  # noqa: S311
    async with served() as one:
        stops = chance.randrange(20)
        for number in range(1, 20):
            one.context.send(number)
            if number > stops:
                one.draining.set()
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
            one.calls.end(*(running for running in one.calls.running if chance.random() < 0.3))
        one.draining.set()
        await one.settle()
        one.calls.end(*one.calls.running)
        *answers, trailers, code = await one.ended()
        begun = one.calls.begun
        assert begun == list(range(1, len(begun) + 1))
        assert sorted(answers) == sorted(f"answer {number}" for number in begun)
        assert (trailers, code) == (f"trailers {len(begun)}", "code UNAVAILABLE")


# ---- bounds ----


async def test_so_many_are_taken_that_are_not_answered_and_each_answer_makes_room_for_one() -> None:
    sent = 2 * UNANSWERED_MAX + 500
    async with served() as one:
        one.context.send(*range(1, sent + 1))
        one.context.end()
        await until(lambda: len(one.calls.begun) >= UNANSWERED_MAX)
        await one.settle()
        assert len(one.calls.begun) == UNANSWERED_MAX
        for number in range(1, 11):
            one.calls.end(number)
            await one.settle()
            assert len(one.calls.begun) == UNANSWERED_MAX + number
        while one.calls.running:
            one.calls.end(*one.calls.running)
            await one.settle()
        events = await one.ended()
        assert sorted(events) == sorted(f"answer {number}" for number in range(1, sent + 1))


async def test_all_that_a_request_holds_counts_for_the_bytes_that_are_not_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "UNANSWERED_BYTES_MAX", 300)
    async with served() as one:
        one.context.send(*range(1, 9), payload=b"x" * 50, function="f" * 30, options_json="o" * 20)
        await one.settle()
        assert one.calls.begun == [1, 2, 3]
        one.calls.end(2)
        await one.settle()
        assert one.calls.begun == [1, 2, 3, 4]


async def test_the_bytes_of_all_requests_of_one_message_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNANSWERED_BYTES_MAX", 400)
    async with served() as one:
        one.context.send_together(1, 2, 3, payload=b"x" * 80)  # the first holds the others, too
        one.context.send(4)
        await one.settle()
        assert sorted(one.calls.begun) == [1, 2, 3]
        one.calls.end(2)
        await one.settle()
        assert sorted(one.calls.begun) == [1, 2, 3, 4]


async def test_one_request_larger_than_all_that_is_allowed_is_taken_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "UNANSWERED_BYTES_MAX", 10)
    async with served() as one:
        one.context.send(1, 2, payload=b"x" * 1000)
        one.context.end()
        await one.settle()
        assert one.calls.begun == [1]
        one.calls.end(1)
        await one.settle()
        assert one.calls.begun == [1, 2]
        one.calls.end(2)
        assert await one.ended() == ["answer 1", "answer 2"]


async def test_a_stream_that_is_held_back_stops_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNANSWERED_MAX", 2)
    async with served() as one:
        one.context.send(1, 2, 3)
        await one.settle()
        one.draining.set()
        await one.settle()
        one.calls.end(1)
        await one.settle()
        one.calls.end(2)
        assert await one.ended() == ["answer 1", "answer 2", "trailers 2", "code UNAVAILABLE"]
        assert one.calls.begun == [1, 2]


# ---- a client that goes ----


@pytest.mark.parametrize("maximum", [2, 10], ids=["held back", "reading"])
async def test_when_the_client_goes_every_call_is_cancelled_and_nothing_is_written_any_more(
    maximum: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UNANSWERED_MAX", maximum)
    async with served() as one:
        one.context.send(1, 2, 3)
        await one.settle()
        begun = list(one.calls.begun)
        one.task.cancel()
        await one.settle()
        assert one.task.cancelled()
        await one.stream.cancel_calls()
        assert sorted(one.calls.cancelled) == begun == [1, 2, 3][:maximum]
        assert one.context.events == []


async def test_when_the_client_goes_while_a_stopping_sidecar_waits_for_calls_they_are_cancelled() -> None:
    async with served() as one:
        one.context.send(1)
        await one.settle()
        one.draining.set()
        await one.settle()
        one.task.cancel()
        await one.settle()
        await one.stream.cancel_calls()
        assert one.calls.cancelled == [1]
        assert one.context.events == []


# ---- what breaks ----


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (grpc.aio.UsageError("RPC already finished."), ""),
        (ValueError("canary"), "internal failure: ValueError"),
    ],
)
async def test_an_answer_that_cannot_be_written_ends_the_stream_and_cancels_its_other_calls(
    caplog: pytest.LogCaptureFixture, error: Exception, told: str
) -> None:
    with caplog.at_level(logging.INFO):
        async with served() as one:
            one.context.write_error = error
            one.context.send(1, 2)
            await one.settle()
            one.calls.end(2)
            assert await one.ended() == ["code INTERNAL"]
    assert one.calls.cancelled == [1]
    assert [record.getMessage().splitlines()[0] for record in caplog.records] == ([told] if told else [])
    assert "canary" not in caplog.text


async def test_a_call_that_raises_ends_the_stream_for_nobody_would_answer_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with served() as one:
        one.context.send(1, 2)
        await one.settle()
        one.calls.fail(1, KeyError("canary"))
        assert await one.ended() == ["code INTERNAL"]
    assert one.calls.cancelled == [2]
    assert "internal failure: KeyError" in caplog.text
    assert "canary" not in caplog.text


async def test_a_stream_that_is_broken_has_no_trailers_though_the_sidecar_stops() -> None:
    """A number in them would promise that all up to it is answered."""
    async with served() as one:
        one.context.send(1)
        await one.settle()
        one.draining.set()
        await one.settle()
        one.calls.fail(1, KeyError())
        assert await one.ended() == ["code INTERNAL"]
