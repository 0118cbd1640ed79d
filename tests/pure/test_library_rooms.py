"""Which file of the library may know what, as its first lines say: read from the #include lines of udf/.

Quick: no compiler, no process. Each test's name is the sentence that it proves."""

from __future__ import annotations

import graphlib
import re
from pathlib import Path

import pytest

UDF = Path(__file__).parents[2] / "udf"
FILES = sorted(UDF.glob("*.[ch]"))
INCLUDE = re.compile(r'^#include [<"]([^>"]+)[>"]', re.MULTILINE)


def included(path: Path) -> set[str]:
    return set(INCLUDE.findall(path.read_text()))


def neighbours(module: str) -> set[str]:
    """The other modules (x.c and x.h are one) that this one includes."""
    headers = set().union(*(included(path) for path in FILES if path.stem == module))
    return {Path(name).stem for name in headers if (UDF / name).exists()} - {module}


MODULES = {path.stem: neighbours(path.stem) for path in FILES}


def test_no_module_of_the_library_includes_back_what_includes_it() -> None:
    order = list(graphlib.TopologicalSorter(MODULES).static_order())
    assert set(order[-3:]) == {"lambda_batch", "lambda_map", "lambda_udf"}
    assert sorted(order) == sorted(MODULES)


@pytest.mark.parametrize(
    ("header", "files"),
    [
        (r"nghttp2/.+", {"stream.c"}),
        (r"stream\.h", {"channel.c", "stream.c"}),
        (r"sys/socket\.h", {"channel.c", "outbox_hint.c", "unix_socket.c"}),
        (r"sys/un\.h", {"outbox_hint.c", "unix_socket.c"}),
        (r"pb_.+|.+\.pb\.h", {"contract.c"}),
        (r"pthread\.h", {"channel_pool.c", "journal.c", "server.c", "settings.c"}),
        (r"mysql.*/.+|mysqld?_error\.h|my_.+", set()),
    ],
)
def test_a_foreign_world_is_known_where_it_belongs_and_nowhere_else(header: str, files: set[str]) -> None:
    knowing = {path.name for path in FILES if any(re.fullmatch(header, name) for name in included(path))}
    assert knowing == files


def test_the_servers_registry_is_asked_in_one_file() -> None:
    calling = {
        path.name for path in FILES if re.search(r"mysql_plugin_registry_acquire\(\)", path.read_text())
    }
    assert calling == {"server.c"}


@pytest.mark.parametrize(
    "module",
    [
        "contract",
        "decimal",
        "explain",
        "grpc_wire",
        "json_printed",
        "json_read",
        "json_write",
        "quotas",
        "traceparent",
        "utf8",
    ],
)
def test_what_is_called_pure_knows_nothing_but_its_like(module: str) -> None:
    assert MODULES[module] <= {"decimal", "utf8"}


@pytest.mark.parametrize(
    ("module", "unknown"),
    [
        ("lambda_udf", {"arguments", "component", "line", "channel", "channel_pool"}),
        ("aggregation", {"channel", "channel_pool", "component"}),
        ("lambda_batch", {"call", "line", "channel", "channel_pool", "component"}),
        ("lambda_map", {"call", "line", "channel", "channel_pool", "component"}),
        ("statement", {"invoke", "call", "line", "channel", "channel_pool"}),
        ("invoke", {"channel", "channel_pool", "contract", "statement"}),
        ("call", {"channel_pool", "mysql_abi", "server", "statement"}),
        ("journal", {"call", "calls_table", "channel", "mysql_abi", "server"}),
        ("calls_table", {"call", "channel", "component", "invoke", "statement"}),
        ("line", {"call", "contract"}),
        ("channel", {"contract", "mysql_abi", "server", "settings"}),
        (
            "stream",
            {"channel", "contract", "counters", "mysql_abi", "server", "settings", "unix_socket", "waiting"},
        ),
        ("flights", {"aggregate_options", "channel", "channel_pool", "gathered", "json_write", "statement"}),
        ("gathered", {"failure", "flights", "server"}),
        ("distinct", {"failure", "flights", "gathered", "server"}),
        ("aggregate_options", {"flights", "server", "statement"}),
        ("value", {"arguments", "contract", "server"}),
        ("waiting", {"channel", "mysql_abi", "server"}),
        ("server", {"channel", "contract", "failure", "settings"}),
    ],
)
def test_a_module_does_not_include_what_its_first_lines_say_it_must_not_know(
    module: str, unknown: set[str]
) -> None:
    assert unknown <= set(MODULES)
    assert not MODULES[module] & unknown
