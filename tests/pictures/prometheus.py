"""A real Prometheus that scrapes one sidecar, for as long as a picture needs.

Knows its command line and its HTTP API; nothing of what is asked."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.pictures.dashboard import Series
from tests.support.waiting import wait_until

from lambda_sidecar.testing.ports import free_port

PROMETHEUS = shutil.which("prometheus")
SCRAPE_SECONDS = 2


@dataclass(frozen=True)
class Prometheus:
    url: str

    def ask(self, path: str, **parameters: str | float) -> Any:
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=30) as answer:
            return json.load(answer)["data"]

    def lines(self, expression: str, start: float, end: float, step: float) -> list[Series]:
        """Between two moments (seconds since 1970); points of no number are left out."""
        found = []
        for each in self.ask("query_range", query=expression, start=start, end=end, step=step)["result"]:
            points = [(at - start, float(text)) for at, text in each["values"] if math.isfinite(float(text))]
            if points:
                found.append(Series(each["metric"], points))
        return sorted(found, key=lambda series: sorted(series.labels.items()))


@contextlib.contextmanager
def prometheus(directory: Path, port: int, rules: Path) -> Iterator[Prometheus]:
    """Scrapes /metrics on that port, as job lambda-sidecar, and has the rules."""
    target = {"targets": [f"127.0.0.1:{port}"]}
    configuration = {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{SCRAPE_SECONDS}s"},
        "scrape_configs": [{"job_name": "lambda-sidecar", "static_configs": [target]}],
        "rule_files": [str(rules)],
    }
    (directory / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    listen = free_port()
    command = [
        str(PROMETHEUS),
        f"--config.file={directory}/prometheus.yml",
        f"--storage.tsdb.path={directory}/data",
        f"--web.listen-address=127.0.0.1:{listen}",
    ]
    with (
        (directory / "prometheus.log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log, cwd=directory) as process,
    ):
        try:
            server = Prometheus(f"http://127.0.0.1:{listen}")
            wait_until(lambda: _is_up(server), what="Prometheus has the sidecar's metrics")
            yield server
        finally:
            process.terminate()


def _is_up(server: Prometheus) -> bool:
    try:
        return bool(server.ask("query", query="lambda_sidecar_info")["result"])
    except OSError:
        return False
