"""How the kit finds an installed MySQL, and what its plugin says where there is none.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.stack import execute

from lambda_sidecar.testing import MySqlLambda, installed_mysql
from lambda_sidecar.testing.installed_mysql import NoMySqlError

VERSIONS = {
    "mariadb": "mysqld  Ver 10.11.6-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)",
    "old": "mysqld  Ver 8.0.28 for Linux on x86_64 (MySQL Community Server - GPL)",
    "other": "some other program",
}
ONE_TEST = "def test_it(mysql_lambda):\n    assert mysql_lambda.port\n"
NO_PLACES = "from lambda_sidecar.testing import installed_mysql\ninstalled_mysql.PLACES = ()\n"


def pretend(folder: Path, version: str) -> Path:
    """A folder with a mysqld that says this version."""
    folder.mkdir(parents=True)
    program = folder / "mysqld"
    program.write_text(f"#!/bin/sh\necho '{version}'\n")
    program.chmod(0o755)
    return folder


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without MySQL. The folder that PATH names has what the wrapper of an unpacked mysqld needs."""
    monkeypatch.delenv("LAMBDA_UDF_MYSQL", raising=False)
    monkeypatch.setattr(installed_mysql, "PLACES", ())
    tools = tmp_path / "tools"
    tools.mkdir()
    readlink = shutil.which("readlink")
    assert readlink is not None
    (tools / "readlink").symlink_to(readlink)
    monkeypatch.setenv("PATH", str(tools))
    return tools


def test_mariadb_and_older_servers_are_passed_over_and_the_kit_runs_on_the_mysql_that_is_found(
    mysql_home: Path, tmp_path: Path, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [pretend(tmp_path / name, text) for name, text in VERSIONS.items()]
    installed = tmp_path / "installed"
    installed.mkdir()
    (installed / "mysqld").symlink_to(mysql_home / "bin/mysqld")
    monkeypatch.setenv("PATH", ":".join(map(str, [*folders, installed, places])))
    assert installed_mysql.find() == installed / "mysqld"
    with MySqlLambda() as kit, contextlib.closing(kit.connect()) as connection:
        kit.function("f", lambda event: event)
        assert execute(connection, "SELECT lambda_sync('f', '[1]')") == [("[1]",)]


def test_also_the_usual_places_are_looked_at(mysql_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed_mysql, "PLACES", (str(mysql_home / "bin"),))
    assert installed_mysql.find() == mysql_home / "bin/mysqld"


def test_where_there_is_none_the_message_says_what_was_found_and_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [pretend(tmp_path / name, text) for name, text in VERSIONS.items()]
    monkeypatch.setenv("PATH", ":".join(map(str, folders)))
    with pytest.raises(NoMySqlError) as caught:
        installed_mysql.find()
    text = str(caught.value)
    assert f"{folders[0]}/mysqld is no MySQL; {folders[1]}/mysqld is MySQL 8.0.28; {folders[2]}" in text
    assert "8.0.29 or newer" in text
    assert "mysql-community-server" in text


def test_a_wrong_lambda_udf_mysql_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMBDA_UDF_MYSQL", str(tmp_path))
    with pytest.raises(NoMySqlError, match=f"LAMBDA_UDF_MYSQL is {tmp_path}, but"):
        installed_mysql.mysql_home(tmp_path / "home")


@pytest.mark.parametrize(
    ("configuration", "status", "word"),
    [("", 1, "1 error"), ("mysql_lambda_without_mysql = skip\n", 0, "1 skipped")],
    ids=["fail", "skip"],
)
def test_without_a_mysql_tests_fail_or_are_left_out_and_say_what_to_install(
    tmp_path: Path, configuration: str, status: int, word: str
) -> None:
    (tmp_path / "pytest.ini").write_text(f"[pytest]\naddopts = -ra\n{configuration}")
    (tmp_path / "conftest.py").write_text(NO_PLACES)
    (tmp_path / "test_it.py").write_text(ONE_TEST)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", tmp_path],
        cwd=tmp_path,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert word in done.stdout
    assert "needs an installed MySQL server, 8.0.29 or newer" in done.stdout
    assert "Traceback" not in done.stdout
