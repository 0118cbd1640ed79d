"""Something to take a picture of: sessions that call functions through a real mysqld, an outbox, and a Lambda whose
moods follow a script.

Knows how the parts fit; asserts nothing."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import mysql.connector
from tests.support.lambda_endpoint import Handler, lambda_endpoint
from tests.support.outbox import install
from tests.support.scrape import listener
from tests.support.stack import Library, Stack, execute, start_stack

from lambda_sidecar.testing.ports import free_port

SLOTS = 10
# Function, how often a second a session calls it, and how many sessions do.
SYNC = (("Score", 8.0, 6), ("Geocode", 2.0, 12), ("Embed", 1.0, 4))
EVENTS_PER_SECOND = 12.0
# When, as shares of the whole time, Lambda throttles, is slow, and does not take events.
THROTTLES, SLOW, REFUSES = (0.2, 0.32), (0.45, 0.6), (0.65, 0.8)
MEDIANS = {"Score": 0.015, "Geocode": 0.12, "Embed": 0.4, "SES_send_email": 0.02, "OrderPlaced": 0.02}


class Moods:
    """The endpoint's answers; the same ones for the same seed and moments."""

    def __init__(self, seconds: float) -> None:
        self._began = time.monotonic()
        self._seconds = seconds
        self._random = random.Random(7)

    def _is_in(self, span: tuple[float, float]) -> bool:
        return span[0] <= (time.monotonic() - self._began) / self._seconds <= span[1]

    def __call__(self, handler: Handler) -> None:
        name = next((name for name in MEDIANS if name in handler.path), "Nowhere")
        event = handler.headers.get("X-Amz-Invocation-Type") == "Event"
        if name == "Nowhere":
            handler.reply(404, b"{}", x_amzn_ErrorType="ResourceNotFoundException")
        elif name == "OrderPlaced" and self._is_in(REFUSES):
            handler.reply(500, b"{}", x_amzn_ErrorType="ServiceException")
        elif name == "Geocode" and self._is_in(THROTTLES) and self._random.random() < 0.6:
            handler.reply(429, b"{}", x_amzn_ErrorType="TooManyRequestsException")
        else:
            slower = 8 if name == "Geocode" and self._is_in(SLOW) else 1
            time.sleep(slower * MEDIANS[name] * self._random.lognormvariate(0, 0.5))
            failed = {"X_Amz_Function_Error": "Unhandled"} if self._random.random() < 0.01 else {}
            body = b'{"errorMessage": "no", "errorType": "E"}' if failed else b'{"answer": [1, 2, 3]}'
            with contextlib.suppress(ConnectionError):
                handler.reply(202 if event else 200, b"" if event else body, x_amzn_RequestId="r-1", **failed)


@contextlib.contextmanager
def busy_stack(mysql_home: Path, directory: Path, seconds: float) -> Iterator[tuple[Stack, int]]:
    """The stack under load, and the port of its /metrics. The load ends with the block."""
    port, over = free_port(), threading.Event()
    socket = directory / "mysql/mysql.sock"
    with (
        lambda_endpoint(Moods(seconds)) as endpoint,
        start_stack(
            mysql_home,
            directory,
            Library.PLAIN,
            endpoint_url=endpoint.url,
            max_concurrency=SLOTS,
            log_level="error",
            metrics=listener(port),
            outbox={"mysql_socket": str(socket)},
        ) as stack,
    ):
        install(stack)
        sessions = [
            threading.Thread(target=_calls, args=(stack, f"SELECT lambda_sync('{name}', '[1]')", rate, over))
            for name, rate, count in SYNC
            for _ in range(count)
        ]
        mail = "SELECT lambda_async('SES_send_email', '[1]')"
        sessions.append(threading.Thread(target=_calls, args=(stack, mail, 4.0, over)))
        event = "INSERT INTO lambda_udf.outbox (function_name, payload) VALUES ('{}', '[1]')"
        for name, rate in (("OrderPlaced", EVENTS_PER_SECOND), ("Nowhere", 0.05)):
            sessions.append(threading.Thread(target=_calls, args=(stack, event.format(name), rate, over)))
        for session in sessions:
            session.start()
        try:
            yield stack, port
        finally:
            over.set()
            for session in sessions:
                session.join()


def _calls(stack: Stack, sql: str, rate: float, over: threading.Event) -> None:
    """One session; what fails is part of the picture."""
    with contextlib.closing(stack.connect(autocommit=True)) as connection:
        while not over.wait(random.expovariate(rate)):
            with contextlib.suppress(mysql.connector.Error):
                execute(connection, sql)
