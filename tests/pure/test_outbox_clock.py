"""The server's clock as the sidecar keeps it.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from lambda_sidecar.outbox import clock as room
from lambda_sidecar.outbox.clock import ServerClock


def test_it_goes_on_from_what_the_server_has_said() -> None:
    clock = ServerClock()
    assert clock.now() == pytest.approx(time.time(), abs=1)
    clock.says(5000.0, time.monotonic())
    assert clock.now() == pytest.approx(5000.0, abs=1)


def test_neither_a_slow_answer_nor_a_clock_that_is_set_here_moves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    here = SimpleNamespace(time=lambda: 1000.0, monotonic=lambda: 10.0)
    monkeypatch.setattr(room, "time", here)
    clock = ServerClock()
    here.monotonic = lambda: 13.0
    clock.says(2000.0, 10.0)
    assert clock.now() == 2003.0
    here.time = lambda: 0.0
    assert clock.now() == 2003.0
