"""The quick room keeps its law: nothing in it needs a process, and `make test-quick` needs nothing but Python.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import ast
import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.checkout import ROOT
from tests.support.quick_room import SERVERS, ProcessRefused, refuse_servers

ROOM = ROOT / "tests/pure"
TRUE = [sys.executable, "-c", ""]
# Of what starts processes for tests, or is made for it.
STARTS = ("subprocess", "multiprocessing", "lambda_sidecar.testing", "tests.conftest")
# Variables alone, and a number.
HARMLESS = ("lambda_sidecar.testing.aws_environment", "lambda_sidecar.testing.ports")


@pytest.mark.parametrize(
    "start",
    [
        lambda: subprocess.run(TRUE, check=False),
        lambda: os.system("true"),  # noqa: S605
        os.fork,
        lambda: os.posix_spawn(sys.executable, TRUE, os.environ),
        lambda: os.spawnv(os.P_WAIT, sys.executable, TRUE),  # noqa: S606
        lambda: os.execv(sys.executable, TRUE),  # noqa: S606
        lambda: asyncio.run(_with_asyncio()),
    ],
    ids=["subprocess", "system", "fork", "posix_spawn", "spawn", "exec", "asyncio"],
)
def test_no_process_is_started_in_this_room(start: Callable[[], object], tried_processes: list[str]) -> None:
    with pytest.raises(ProcessRefused):
        start()
    assert len(tried_processes) == 1
    tried_processes.clear()


async def _with_asyncio() -> None:
    await asyncio.create_subprocess_exec(*TRUE)


def test_an_attempt_that_was_caught_is_seen_all_the_same(tried_processes: list[str]) -> None:
    try:
        subprocess.run(TRUE, check=False)
    except Exception:
        assert tried_processes == ["subprocess.Popen"]
    assert tried_processes.pop() == "subprocess.Popen"


@pytest.mark.parametrize("server", sorted(SERVERS))
def test_a_test_that_asks_for_a_server_is_refused_before_any_runs(server: str) -> None:
    refuse_servers("one.py::test", ["tmp_path", "monkeypatch"])
    with pytest.raises(pytest.UsageError, match=rf"^one\.py::test: the quick room has no server: {server}$"):
        refuse_servers("one.py::test", ["tmp_path", server])


def test_the_room_knows_every_fixture_that_is_for_all_rooms() -> None:
    tree = ast.parse((ROOT / "tests/conftest.py").read_text())
    fixtures = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and any("fixture" in ast.dump(by) for by in node.decorator_list)
    }
    assert fixtures - {"_no_aws_of_this_account"} == SERVERS


def test_nothing_that_the_room_imports_of_the_tests_is_made_to_start_processes() -> None:
    """Nor would it be quick: servers' clients take long to import."""
    seen: dict[str, str] = {}
    for path in sorted(ROOM.glob("test_*.py")):
        for module in _modules(path):
            seen.setdefault(module, path.name)
    todo = [module for module in seen if module.startswith("tests.support.")]
    while todo:
        importer = todo.pop()
        for module in _modules(ROOT / f"{importer.replace('.', '/')}.py"):
            if module not in seen:
                seen[module] = importer
                todo += [module] if module.startswith("tests.support.") else []
    del seen["subprocess"]  # this file's own; whoever else has it is refused while it runs
    assert {
        module: importer
        for module, importer in seen.items()
        if module.startswith(STARTS) and not module.startswith(HARMLESS)
    } == {}


def _modules(path: Path) -> Iterator[str]:
    """As they are written: each module, and each name that might be one."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            if node.module == "tests.support":
                yield from (f"tests.support.{name.name}" for name in node.names)
