"""When the outbox is looked at: after hints, after rows that nobody hinted at, and during a long transaction.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest
from tests.support.waiting import until

from lambda_sidecar.outbox import wakeup as room
from lambda_sidecar.outbox.wakeup import LOOK_IDLE, LOOK_MIN, LOOK_RECENT, LOOKS_IN_VAIN, SUFFIX, Wakeup


async def test_without_hints_it_looks_now_and_then_and_a_hint_asks_for_a_look_at_once(tmp_path: Path) -> None:
    wakeup = Wakeup(tmp_path / "s")
    assert wakeup.interval() == LOOK_IDLE
    assert not wakeup.take_hint()
    wakeup.hint()
    assert wakeup.event.is_set()
    assert wakeup.take_hint()
    assert not wakeup.take_hint(), "one hint, one look"
    assert wakeup.seconds_after_hint() == 0
    assert wakeup.interval() < LOOK_RECENT, "its transaction may end soon"


async def test_a_row_that_nobody_hinted_at_makes_the_next_looks_soon(tmp_path: Path) -> None:
    wakeup = Wakeup(tmp_path / "s")
    wakeup.looked(found=False)
    assert wakeup.interval() == LOOK_IDLE
    wakeup.looked(found=True)
    assert wakeup.interval() <= LOOK_RECENT
    assert wakeup.is_recent()


async def test_the_hints_of_a_long_transaction_do_not_keep_the_server_busy(tmp_path: Path) -> None:
    wakeup = Wakeup(tmp_path / "s")
    for _ in range(LOOKS_IN_VAIN):
        wakeup.hint()
        wakeup.looked(found=False)
    assert wakeup.seconds_after_hint() <= LOOK_MIN
    for _ in range(10):
        wakeup.hint()
        wakeup.looked(found=False)
    assert LOOK_RECENT / 2 < wakeup.seconds_after_hint() <= LOOK_RECENT
    wakeup.looked(found=True)
    assert wakeup.seconds_after_hint() <= LOOK_MIN, "whoever commits meanwhile is soon followed by others"


async def test_a_hint_after_a_time_without_is_not_taken_for_that_of_a_long_transaction(
    tmp_path: Path,
) -> None:
    wakeup = Wakeup(tmp_path / "s")
    clock = asyncio.get_running_loop().time
    for _ in range(20):
        wakeup.hint()
        wakeup.looked(found=False)
    began = clock()
    await until(lambda: clock() > began + 2 * LOOK_RECENT)
    wakeup.hint()
    assert wakeup.seconds_after_hint() == 0


async def test_every_path_that_the_library_can_hint_at_is_listened_on(tmp_path: Path) -> None:
    """Its name and SUFFIX are to fit into struct sockaddr_un (unix(7)), and so do the names beside it."""
    longest = 107 - len(SUFFIX) - len(str(tmp_path)) - 1
    wakeup = Wakeup(tmp_path / ("s" * longest))
    wakeup.open()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hinting:
            hinting.sendto(b"!", str(tmp_path / ("s" * longest + SUFFIX)))
        await until(wakeup.take_hint, what="the hint")
    finally:
        wakeup.close()
    assert os.listdir(tmp_path) == []  # noqa: PTH208


async def test_whoever_floods_the_socket_does_not_keep_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "HINTS_AT_ONCE", 3)
    wakeup = Wakeup(tmp_path / "s")
    wakeup.open()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as flooding:
            for _ in range(5):
                flooding.sendto(b"1", str(tmp_path / f"s{SUFFIX}"))
        wakeup._receive()
        assert wakeup._socket is not None
        assert [wakeup._socket.recv(64) for _ in range(2)] == [b"1", b"1"]
    finally:
        wakeup.close()
