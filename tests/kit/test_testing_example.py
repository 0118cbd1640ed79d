"""docs/testing.md's examples as they are written, where only lambda-udf[testing] is installed, from the wheel.

Each test's name is the sentence that it proves."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support import wheel
from tests.support.checkout import ROOT
from tests.support.markdown import blocks

DOCUMENT = ROOT / "docs/testing.md"
ORDERS, REFUSED, SERVER, OUTBOX, CONTAINER = (
    block.text for block in blocks(DOCUMENT) if block.language == "python"
)


def run_pytest(folder: Path, *arguments: str) -> tuple[int, str]:
    python = wheel.environment("testing") / "python"
    options = ["-W", "error", "-m", "pytest", "-p", "no:cacheprovider"]
    done = wheel.run([python, *options, *arguments], cwd=folder)
    return done.returncode, done.stdout


@pytest.fixture
def folder(mysql_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With the tests of the document, and a MySQL to be found."""
    monkeypatch.setenv("LAMBDA_UDF_MYSQL", str(mysql_home))
    (tmp_path / "test_orders.py").write_text(ORDERS)
    return tmp_path


def test_the_environment_has_the_wheel_and_nothing_of_the_checkout(tmp_path: Path) -> None:
    python = wheel.environment("testing") / "python"
    script = "import lambda_sidecar, sys; print(lambda_sidecar.__file__); print(*sys.path, sep='\\n')"
    done = wheel.run([python, "-c", script], cwd=tmp_path)
    module, *path = done.stdout.splitlines()
    assert module.startswith(str(python.parents[1]))
    assert not {str(ROOT), str(ROOT / "sidecar")} & set(path)


def test_the_plugin_costs_other_tests_nothing(tmp_path: Path) -> None:
    heavy = ["aiohttp", "botocore", "docker", "grpc", "mysql.connector"]
    script = f"import sys, lambda_sidecar.testing.pytest_plugin; print(set({heavy}) & sys.modules.keys())"
    done = wheel.run([wheel.environment("testing") / "python", "-c", script], cwd=tmp_path)
    assert done.stdout == "set()\n"


def test_the_example_of_a_trigger_passes_as_written(folder: Path) -> None:
    status, output = run_pytest(folder)
    assert status == 0, output
    assert "3 passed" in output


def test_the_example_of_another_server_starts_it(folder: Path) -> None:
    (folder / "conftest.py").write_text(SERVER)
    (folder / "test_mode.py").write_text(
        "def test_mode(shop):\n    shop.execute('SELECT @@GLOBAL.sql_mode')\n    assert 'ANSI' in shop.fetchone()[0]\n"
        "from test_orders import shop\n"
    )
    status, output = run_pytest(folder)
    assert status == 0, output
    assert "4 passed" in output


def test_the_examples_of_the_outbox_and_of_a_failure_pass_as_written(folder: Path) -> None:
    (folder / "test_outbox.py").write_text(OUTBOX)
    (folder / "test_refused.py").write_text(REFUSED)
    status, output = run_pytest(folder, "test_outbox.py", "test_refused.py")
    assert status == 0, output
    assert "2 passed" in output


def test_the_example_fails_where_the_trigger_is_broken(folder: Path) -> None:
    broken = ORDERS.replace(
        '\'customer\', NEW.customer))\n    """,\n]', "'customer', 'nobody'))\n    \"\"\",\n]"
    )
    assert broken != ORDERS
    (folder / "test_orders.py").write_text(broken)
    status, output = run_pytest(folder)
    assert status == 1, output
    assert "1 failed, 2 passed" in output
