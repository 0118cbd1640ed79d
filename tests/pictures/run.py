"""`make pictures`: draws docs/pictures/ anew, from servers that run for it.

`top` takes seconds; `dashboard` takes some minutes, and needs prometheus (Debian's package of that name)."""

from __future__ import annotations

import json
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from examples.checkout import mysql_home
from tests.conftest import pytest_configure
from tests.pictures import dashboard, terminal
from tests.pictures.prometheus import PROMETHEUS, SCRAPE_SECONDS, prometheus
from tests.pictures.scene import busy_stack
from tests.support.aws_sidecar import OK, aws_sidecar
from tests.support.checkout import ROOT
from tests.support.invoker_client import open_stream
from tests.support.lambda_endpoint import Handler
from tests.support.pseudo_terminal import pseudo_terminal

from lambda_sidecar.config.config import Config
from lambda_sidecar.monitoring.text_cells import fitted
from lambda_udf.v1 import invoker_pb2

PICTURES = ROOT / "docs/pictures"
DASHBOARD = ROOT / "packaging/grafana/lambda-udf.json"
RULES = ROOT / "packaging/prometheus/lambda-sidecar.rules.yml"
SECONDS = 240.0
# The picture of top: slots, the calls that are under way, and the sessions of them whose calls are answered and come
# again: they have one slot between them, and so most of them wait.
SLOTS, RUNNING, CALLERS = 27, 30, 4
FRAMES = 8
SIZES = ((80, 24), (60, 15), (120, 40))
DEFAULT_SOCKET = Config().socket
# Name, seconds that it takes, share of its calls that fail.
FUNCTIONS = (("Score", 0.004, 0.0), ("Geocode", 0.03, 0.05), ("Embed", 0.12, 0.02))


def main(wanted: list[str]) -> int:
    pytest_configure()
    pictures = {"top": draw_top, "dashboard": draw_dashboard}
    PICTURES.mkdir(exist_ok=True)
    for name in wanted or list(pictures):
        if name == "dashboard" and PROMETHEUS is None:
            print("pictures: there is no prometheus here: the dashboard is left out", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory(prefix="pictures") as directory:
            pictures[name](Path(directory), lambda file, text: _write(file, text))
    return 0


def _write(file: str, text: str) -> None:
    (PICTURES / file).write_text(text, encoding="utf-8")
    print(f"pictures: {PICTURES.relative_to(ROOT) / file}, {len(text) // 1000} kB")


def draw_dashboard(directory: Path, write: Callable[[str, str], None]) -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    with (
        busy_stack(mysql_home(), directory, SECONDS) as (_, port),
        prometheus(directory, port, RULES) as server,
    ):
        began = time.time()
        time.sleep(SECONDS)
        end = began + SECONDS

        def ask(expression: str) -> list[dashboard.Series]:
            return server.lines(filled_in(expression), began, end, 2 * SCRAPE_SECONDS)

        write("dashboard.svg", dashboard.svg(panels, ask, SECONDS))


def filled_in(expression: str) -> str:
    """As Grafana fills in its variables: everything is chosen, and $__rate_interval is four scrapes long."""
    values = {"$__rate_interval": f"{4 * SCRAPE_SECONDS}s", "$job": ".*", "$instance": ".*"}
    for name, value in values.items():
        expression = expression.replace(name, value)
    return expression


def draw_top(directory: Path, write: Callable[[str, str], None]) -> None:
    """At three sizes, while calls run that nobody answers, and others come and go on what slots are left."""
    gate, over = threading.Event(), threading.Event()

    def answer(handler: Handler) -> None:
        if "Report" in handler.path:
            gate.wait(120)
            return OK(handler)
        _, seconds, failing = next(each for each in FUNCTIONS if each[0] in handler.path)
        count = handler.endpoint.paths.count(handler.path)
        time.sleep(seconds * (1 + count % 7 / 3))
        if failing and count % round(1 / failing) == 0:
            return handler.reply(200, b"{}", x_amzn_RequestId="r-1", X_Amz_Function_Error="Unhandled")
        return OK(handler)

    with (
        aws_sidecar(directory, answer, max_concurrency=SLOTS, log_level="error") as aws,
        open_stream(aws.sidecar.socket) as stream,
        ThreadPoolExecutor(CALLERS) as callers,
    ):
        for number in range(RUNNING - CALLERS):
            account = invoker_pb2.Caller(
                user=("app", "reports", "billing")[number % 3], host="10.0.3.%", connection_id=4711 + number
            )
            name = ("ReportDay:live", "ReportMonth", "ReportYear")[number % 3]
            stream.send(name, caller=account, timeout_ms=900_000)
            time.sleep(0.05)
        calling = [callers.submit(_call, aws.sidecar.socket, number, over) for number in range(CALLERS)]
        try:
            for columns, lines in SIZES:
                frame = _frame(aws.sidecar.socket, columns, lines)
                write(f"top-{columns}x{lines}.svg", terminal.svg(frame, columns))
        finally:
            over.set()
            for caller in calling:
                caller.result()
            gate.set()


def _frame(socket: Path, columns: int, lines: int) -> list[str]:
    """A frame after some seconds, which has rates; with the socket's path as it is on a server."""
    command = [sys.executable, "-m", "lambda_sidecar.cli", "top", "--interval", "1", "--socket", str(socket)]
    with pseudo_terminal(command, columns=columns, lines=lines) as shown:
        for _ in range(FRAMES):
            shown.wait_for("IN FLIGHT")
        shown.wait_for(f"IN FLIGHT {RUNNING}")
        first, *others = shown.coloured_frames()[-1]
        shown.press("q")
        shown.ended()
    first = first.rpartition(", ")[0]
    room = columns - len(re.sub(r"\x1b\[\d*m", "", first))
    return [first + fitted(f", {DEFAULT_SOCKET}", room), *others]


def _call(socket: Path, number: int, over: threading.Event) -> None:
    """One session's calls."""
    account = invoker_pb2.Caller(user="app", host="10.0.3.%", connection_id=4600 + number)
    with open_stream(socket) as stream:
        while not over.is_set():
            for name, *_ in FUNCTIONS:
                stream.ask(name, caller=account)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
