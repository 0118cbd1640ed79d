"""The parts of a streamed answer between a function and its reader, whoever is first, slow or gone.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio

from tests.support.waiting import rest

from lambda_sidecar.local.parts import Parts


async def put(parts: Parts, count: int) -> None:
    for number in range(count):
        await parts.put(b"%d," % number)


async def get(parts: Parts) -> bytes:
    whole = b""
    while (part := await parts.get()) is not None:
        whole += part
    return whole


async def test_every_part_arrives_in_its_place_and_the_end_behind_them() -> None:
    parts = Parts()
    reader, writer = asyncio.create_task(get(parts)), asyncio.create_task(put(parts, 20))
    await writer
    parts.end()
    assert await reader == b"".join(b"%d," % number for number in range(20))
    assert await parts.get() is None


async def test_one_part_waits_at_most() -> None:
    parts = Parts()
    first, second = asyncio.create_task(put(parts, 1)), asyncio.create_task(parts.put(b"x"))
    await rest()
    assert (first.done(), second.done()) in ((True, False), (False, True))
    assert await parts.get() in (b"0,", b"x")
    await asyncio.gather(first, second)
    assert await parts.get() in (b"0,", b"x")


async def test_whoever_puts_is_released_by_the_end_and_by_the_readers_going() -> None:
    for release in (Parts.end, Parts.abandon):
        parts = Parts()
        writer = asyncio.create_task(put(parts, 20))
        await rest()
        assert not writer.done()
        release(parts)
        await writer


async def test_what_was_put_before_the_end_is_still_read_and_nothing_behind_it() -> None:
    parts = Parts()
    await parts.put(b"x")
    parts.end()
    await put(parts, 3)
    assert await get(parts) == b"x"


async def test_a_writer_or_a_reader_that_is_cancelled_leaves_the_others_whole() -> None:
    parts = Parts()
    reader = asyncio.create_task(parts.get())
    await rest()
    reader.cancel()
    await parts.put(b"x")
    writer = asyncio.create_task(parts.put(b"lost"))
    await rest()
    writer.cancel()
    await asyncio.gather(reader, writer, return_exceptions=True)
    parts.end()
    assert await get(parts) == b"x"
