"""Starting, refusing to start, stopping, and being killed."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.local.local_support import (
    EXAMPLES,
    PID,
    SIGNED,
    WAIT_FOR_FILE,
    alive,
    running,
    write_function,
)
from tests.support.waiting import until

from lambda_sidecar.local import LocalLambda, LocalLambdaError, LocalLambdaSettings

PARENT = """
import asyncio, pathlib, sys
from lambda_sidecar.local import LocalLambda, LocalLambdaSettings
async def main():
    service = LocalLambda(LocalLambdaSettings(functions=pathlib.Path(sys.argv[1])))
    await service.start()
    print(service.endpoint, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


async def start_error(functions: Path, **settings: Any) -> str:
    service = LocalLambda(LocalLambdaSettings(functions=functions, **settings))
    with pytest.raises(LocalLambdaError) as caught:
        await service.start()
    await service.stop()
    with pytest.raises(LocalLambdaError):
        _ = service.endpoint
    return str(caught.value)


async def test_a_missing_folder_and_a_taken_port_are_said_at_start(tmp_path: Path) -> None:
    assert "functions folder" in await start_error(tmp_path / "none")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} of 127.0.0.1 is taken" in await start_error(EXAMPLES, port=port)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ("timeout = 0", "timeout must be"),
        ("timeout = true", "timeout must be"),
        ("timeout = 901", "timeout must be"),
        ("timout = 3", "unknown key 'timout'"),
        ("handler = 3", "handler must be"),
        ('handler = "nodot"', "handler must be"),
        ("concurrency = 1.5", "concurrency must be"),
        ("memory_size = 64", "memory_size must be"),
        ("environment = 'x'", "environment must be a table"),
        ("[environment]\nA = 1", "environment.A must be a string"),
        ('[environment]\nAWS_LAMBDA_RUNTIME_API = "x"', "environment.AWS_LAMBDA_RUNTIME_API is reserved"),
        ("timeout = ", "Invalid value"),
    ],
)
async def test_a_broken_function_toml_is_named_at_start(tmp_path: Path, settings: str, text: str) -> None:
    folder = write_function(tmp_path, "F", PID, settings)
    error = await start_error(tmp_path)
    assert error.startswith(f"{folder}/function.toml: ")
    assert text in error


async def test_a_python_function_without_awslambdaric_and_a_plain_bootstrap_are_said_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_function(tmp_path, "F", PID)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install 'lambda-udf[local]'" in await start_error(tmp_path)
    (folder / "bootstrap").write_text("#!/bin/sh\n")
    assert "bootstrap is not executable" in await start_error(tmp_path)


def test_settings_that_cannot_be_meant_are_refused() -> None:
    for wrong in ({"port": 70000}, {"region": "Mars"}, {"account_id": "1"}, {"concurrency": 0}):
        with pytest.raises(ValueError, match="local Lambda settings: "):
            LocalLambdaSettings(functions=Path(), **wrong)


async def test_other_folders_and_files_are_no_functions(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "README.md").write_text("")
    (tmp_path / "a file").write_text("")
    (tmp_path / ".git").mkdir()
    async with running(tmp_path) as local:
        assert (await local.error("docs"))["Code"] == "ResourceNotFoundException"


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Local Lambdas of other tests, side by side with this one, make their folders elsewhere."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)


async def test_stop_leaves_no_process_no_port_no_file_and_no_task(tmp_path: Path) -> None:
    write_function(tmp_path, "F", PID)
    write_function(tmp_path, "Wait", WAIT_FOR_FILE, "timeout = 60")
    write_function(tmp_path, "Start", "import time\ntime.sleep(60)")
    before, tasks, files = temporary_folders(), asyncio.all_tasks(), open_files()
    others = set(children(os.getpid()))  # servers of other tests in this process
    async with running(tmp_path, event_retry_seconds=(60.0, 60.0)) as local:
        idle = (await local.invoke("F")).value
        started = tmp_path / "started"
        event = {"go": str(tmp_path / "never"), "started": str(started)}
        call = asyncio.create_task(local.error("Wait", event))
        await local.invoke("Wait", event, InvocationType="Event")
        await local.invoke("Start", InvocationType="Event")
        await local.invoke("F", {}, InvocationType="Event")
        await until(started.exists)
        port = int(local.service.endpoint.rpartition(":")[2])
        workers = set(children(os.getpid())) - others
        assert idle in workers
        assert len(workers) >= 3
        await local.service.stop()
        await local.service.stop()
        error = await call
        assert (error["status"], error["Code"]) == (500, "ServiceException")
        assert not [pid for pid in workers if alive(pid)]
    assert not temporary_folders() - before
    assert asyncio.all_tasks() == tasks
    await until(lambda: open_files() <= files)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_stopped_one_can_be_started_again() -> None:
    service = LocalLambda(LocalLambdaSettings(functions=EXAMPLES))
    await service.stop()
    for _ in range(2):
        await service.start()
        with pytest.raises(LocalLambdaError, match="started already"):
            await service.start()
        assert service.endpoint.startswith("http://127.0.0.1:")
        await service.stop()


async def test_no_worker_survives_a_parent_that_was_killed(tmp_path: Path) -> None:
    write_function(
        tmp_path, "F", "import os\ndef lambda_handler(*_):\n    return [os.getpid(), os.environ['HOME']]\n"
    )
    write_function(tmp_path, "Wait", WAIT_FOR_FILE, "timeout = 60")
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert parent.stdout is not None
        endpoint = (await parent.stdout.readline()).decode().strip()
        async with aiohttp.ClientSession() as client:
            url = f"{endpoint}/2015-03-31/functions/F/invocations"
            async with client.post(url, headers=SIGNED) as response:
                idle, idle_home = await response.json()
            started = tmp_path / "started"
            body = f'{{"go": "{tmp_path / "never"}", "started": "{started}"}}'
            headers = {**SIGNED, "X-Amz-Invocation-Type": "Event"}
            async with client.post(url.replace("/F/", "/Wait/"), data=body, headers=headers) as response:
                assert response.status == 202
            await until(started.exists)
        workers = children(parent.pid)
        assert idle in workers
        assert len(workers) == 2
    finally:
        parent.send_signal(signal.SIGKILL)
        await parent.communicate()
    await until(lambda: not [pid for pid in workers if alive(pid)])
    assert Path(idle_home).parent in temporary_folders()
    async with running(tmp_path):  # what the killed one left, the next one removes
        assert Path(idle_home).parent not in temporary_folders()


def temporary_folders() -> set[Path]:
    """Those of every local Lambda on this machine."""
    return set(Path(tempfile.gettempdir()).glob("lambda-sidecar-local-*"))


def open_files() -> int:
    """How many file descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def children(pid: int) -> list[int]:
    """The processes that one started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
