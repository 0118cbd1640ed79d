"""moto's server as a process: an AWS written by others, with Lambda, IAM and STS at one URL.

Knows how it is started; asserts nothing."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.support.waiting import wait_until

from lambda_sidecar.testing.ports import free_port


@contextlib.contextmanager
def moto_server(directory: Path) -> Iterator[str]:
    """Its URL; its log is in `directory`."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (directory / "moto.log").open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: _answers(url), what="moto's server", seconds=60)
        yield url
    finally:
        server.terminate()
        server.wait(20)


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/moto-api/", timeout=5).close()  # noqa: S310
    except OSError:
        return False
    return True
