"""Clients of a sidecar's /metrics that connect and say nothing: they take neither descriptors nor anybody's place.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from tests.support.aws_sidecar import aws_sidecar
from tests.support.scrape import listener, scrape
from tests.support.waiting import wait_until

from lambda_sidecar.monitoring.metrics_listener import CONNECTIONS_MAX
from lambda_sidecar.testing.ports import free_port


def test_six_hundred_silent_connections_stop_neither_metrics_nor_calls(tmp_path: Path) -> None:
    port = free_port()
    with aws_sidecar(tmp_path, metrics=listener(port)) as aws, contextlib.ExitStack() as crowd:
        before = scrape(port).value("process_open_fds")
        for _ in range(6):
            for _ in range(100):
                crowd.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            told = scrape(port)
        wait_until(lambda: scrape(port).value("process_open_fds") <= before + CONNECTIONS_MAX)
        assert told.value("streams") == 1
        assert aws.stream.ask("f").result.status_code == 200
