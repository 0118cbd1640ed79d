"""Who may import whom in the sidecar, and what may be imported where (the library: test_library_rooms.py).

Each test's name is the sentence that it proves."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from tests.support.checkout import ROOT
from tests.support.sidecar_modules import PACKAGE, imports, modules

# From the top down: a room imports itself and those that come later. Files at the top are rooms of their own.
FLOORS = (
    ("cli", "testing"),
    ("server", "check", "migrate"),
    ("upstream",),
    ("reload", "monitoring", "process", "install"),
    ("contract", "outbox"),
    ("calls",),
    ("aws",),
    ("local",),
    ("config", "http"),
    ("access", "log", "tracing"),
    ("errors",),
    ("text", "concurrency", "quotas", "version"),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
# What only some rooms may import, each other world behind one door; a room, or a file of one.
WORLDS = {
    "grpc": {"contract"},
    "grpc_health": {"contract"},
    "lambda_udf": {
        "contract",
        "monitoring/function_figures.py",
        "monitoring/moments.py",
        "monitoring/top_rows.py",
        "monitoring/top_screen.py",
    },
    "httptools": {"http"},
    "ssl": {"http", "aws/configuration.py", "install"},
    "aiobotocore": {"aws"},
    "botocore": {"aws", "calls/pipeline.py", "reload.py", "testing"},
    "aiohttp": {"local", "testing", "monitoring/metrics_listener.py", "aws/bounded_http.py"},
    "opentelemetry": {"tracing/spans.py"},
    "prometheus_client": {"monitoring"},
    "mysql": {"install", "migrate", "testing", "outbox/session.py", "outbox/session_errors.py"},
    "tomllib": {"config", "local/function.py", "testing/sidecar.py"},
    "argparse": {"check", "cli.py", "install", "migrate"},
    "socket": {"http", "outbox/wakeup.py", "process", "monitoring/top.py", "local", "testing"},
    "termios": {"monitoring/top.py"},
    "yaml": {"local/template/document.py"},
}
# Named in docstrings, and others': of a function's folder, and of AWS's runtime client.
FOREIGN = {"lambda_function.py", "bootstrap.py", "lambda_runtime_client.py"}


def room(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


def arrows() -> dict[tuple[str, str], str]:
    """From room to room, with an example of each."""
    found = {}
    rooms = {room(path) for path, _ in modules()}
    for path, names in imports().items():
        for name in names:
            parts = name.split(".")
            if parts[0] == "lambda_sidecar" and len(parts) > 1 and parts[1] in rooms - {room(path)}:
                found[room(path), parts[1]] = f"{path} imports {name}"
    return found


def test_every_room_has_its_floor_and_every_floor_its_rooms() -> None:
    assert {room(path) for path, _ in modules()} - {"__init__"} == set(FLOOR)


def test_no_room_imports_one_above_it_or_beside_it() -> None:
    wrong = [how for (one, other), how in arrows().items() if FLOOR[one] >= FLOOR[other]]
    assert wrong == []


@pytest.mark.parametrize("world", WORLDS)
def test_what_knows_another_world_is_where_it_belongs(world: str) -> None:
    """And every place that may know it does: a permission that nobody needs is a sign that lies."""
    users = {path for path, names in imports().items() if any(name.split(".")[0] == world for name in names)}
    places = {
        next((place for place in (str(path), room(path), path.parts[0]) if place in WORLDS[world]), str(path))
        for path in users
    }
    assert places == WORLDS[world]


def test_a_file_that_a_docstring_or_comment_names_exists() -> None:
    missing = []
    for path, _ in modules():
        for line in (PACKAGE / path).read_text().splitlines():
            for name in re.findall(r"(?<![\w/.-])((?:[a-z_]+/)*[a-z_]+\.py)\b", line):
                near = [
                    PACKAGE / path.parent / name,
                    PACKAGE / name,
                    ROOT / name,
                    PACKAGE / room(path) / name,
                ]
                if name not in FOREIGN and not any(each.exists() for each in near):
                    missing.append(f"{path}: {name}")
    assert missing == []


def test_every_package_and_module_says_what_it_is_for_in_its_first_line() -> None:
    silent = [str(path) for path, tree in modules() if not (ast.get_docstring(tree) or "").strip()]
    assert silent == []
