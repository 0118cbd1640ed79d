"""The listener of /metrics in this process: clients that connect and say nothing do not stay.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from lambda_sidecar.config.metrics import MetricsSettings
from lambda_sidecar.monitoring import metrics_listener
from lambda_sidecar.monitoring.metrics_listener import MetricsListener
from lambda_sidecar.testing.ports import free_port

REQUEST = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextlib.asynccontextmanager
async def listening(monkeypatch: pytest.MonkeyPatch, **limits: float) -> AsyncIterator[int]:
    """Its port."""
    for name, value in limits.items():
        monkeypatch.setattr(metrics_listener, name, value)
    port = free_port()
    made = MetricsListener(MetricsSettings(listen=f"127.0.0.1:{port}"), CollectorRegistry())
    await made.start()
    try:
        yield port
    finally:
        await made.stop()


@pytest.mark.parametrize("said", [b"", REQUEST[:-2], REQUEST + REQUEST[:10]])
async def test_a_connection_that_falls_silent_is_closed(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(monkeypatch, SILENCE_SECONDS=0.1) as port, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        answer = await reader.read()  # until it is closed
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n" if said.startswith(REQUEST) else b"")
        writer.close()
        await writer.wait_closed()


async def test_a_head_that_drips_does_not_hold_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(monkeypatch, SILENCE_SECONDS=0.2) as port, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        ended = asyncio.create_task(reader.read())
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ")
        while not ended.done():
            writer.write(b"x")
            await asyncio.wait({ended}, timeout=0.02)
        with contextlib.suppress(ConnectionError):
            assert await ended == b""
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_the_oldest_connection_makes_room_and_the_newest_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with listening(monkeypatch, CONNECTIONS_MAX=3) as port, asyncio.timeout(10):
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        with contextlib.suppress(ConnectionResetError):
            assert await opened[0][0].read() == b""
        for reader, writer in opened[1:]:
            writer.write(REQUEST)
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        for _, writer in opened:
            writer.close()
            with contextlib.suppress(ConnectionResetError):
                await writer.wait_closed()
