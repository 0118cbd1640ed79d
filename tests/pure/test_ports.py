"""Ports for servers that tests start.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import socket

import pytest

from lambda_sidecar.testing.ports import _random, free_port


def test_no_connection_that_goes_out_takes_the_port_meanwhile() -> None:
    """Those of Linux have ports from 32768 on."""
    assert all(free_port() < 32_768 for _ in range(100))


def test_a_port_that_is_in_use_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    free = free_port()
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        chosen = iter([used.getsockname()[1], free])
        monkeypatch.setattr(_random, "choice", lambda _: next(chosen))
        assert free_port() == free
