"""packaging/mysql/provide.sh: an installed MySQL first, MariaDB never, downloads whole or not at all.

Downloads nothing: installed programs are played by scripts, and the mirror that fails is a closed port."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest
from tests.support.checkout import ROOT

SCRIPT = ROOT / "packaging" / "mysql" / "provide.sh"
MIRROR_AWK = ROOT / "packaging" / "mysql" / "debian-mirror.awk"
COMMANDS = ("mysqld", "mysql", "mysqldump", "mysqladmin", "mysqlslap", "mysqlbinlog")


def provide(cache: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The mirror does not exist, so that a test that would download fails instead."""
    settings = {"LAMBDA_UDF_CACHE": str(cache), "LAMBDA_UDF_MIRROR": "file:/nowhere"}
    return subprocess.run(
        [str(SCRIPT)], capture_output=True, text=True, check=False, env=os.environ | settings | environment
    )


def install(folder: Path, version: str, commands: tuple[str, ...] = COMMANDS) -> str:
    """Scripts that play an installed server and its client; the PATH that finds them."""
    folder.mkdir()
    for command in commands:
        script = folder / command
        script.write_text(f'#!/bin/sh\necho "{command}  {version} for Linux on x86_64" "$LD_PRELOAD" "$@"\n')
        script.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_what_it_prints_holds_commands_that_work() -> None:
    first = subprocess.run([str(SCRIPT)], stdout=subprocess.PIPE, text=True, check=True)
    home = Path(first.stdout.strip())
    for command in COMMANDS:
        text = subprocess.run(
            [str(home / "bin" / command), "--no-defaults", "--version"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert " Ver " in text
        assert "MariaDB" not in text


def test_a_second_run_answers_the_same_at_once_and_without_network() -> None:
    first = subprocess.run([str(SCRIPT)], stdout=subprocess.PIPE, text=True, check=True)
    cache = Path(first.stdout.strip()).parent
    began = time.monotonic()
    again = provide(cache)
    took = time.monotonic() - began
    assert (again.stdout, again.stderr) == (first.stdout, "")
    assert took < 1  # 10 ms on an idle machine


def test_an_installed_mysql_is_wrapped(tmp_path: Path) -> None:
    path = install(tmp_path / "installed", "Ver 8.0.36-1")
    done = provide(tmp_path / "cache", PATH=path)
    home = Path(done.stdout.strip())
    assert home.name.startswith("installed-8.0.36-")
    assert sorted(entry.name for entry in (home / "bin").iterdir()) == sorted(COMMANDS)
    said = subprocess.run(
        [str(home / "bin" / "mysqld"), "--no-defaults", "two words"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"LAMBDA_UDF_PRELOAD": "libc.so.6"},
    )
    assert said.stdout.endswith("libc.so.6 --no-defaults two words\n")
    assert provide(tmp_path / "cache", PATH=path).stdout == done.stdout


@pytest.mark.parametrize(
    ("version", "commands"),
    [
        ("Ver 10.11.6-MariaDB-0+deb12u1", COMMANDS),
        ("Ver 15.1 Distrib 10.11.6-MariaDB,", COMMANDS),
        ("Ver 5.7.44", COMMANDS),
        ("no version at all", COMMANDS),
        ("Ver 8.0.36", ("mysqld",)),  # a server without its client
    ],
)
def test_nothing_else_is_taken_for_mysql(tmp_path: Path, version: str, commands: tuple[str, ...]) -> None:
    done = provide(tmp_path / "cache", PATH=install(tmp_path / "installed", version, commands))
    assert (done.returncode, done.stdout) == (1, "")
    assert "fetching Debian's packages" in done.stderr


def test_a_mariadb_client_is_not_taken_with_a_mysql_server(tmp_path: Path) -> None:
    path = install(tmp_path / "server", "Ver 8.4.3", ("mysqld",))
    path = f"{install(tmp_path / 'client', 'Ver 15.1 Distrib 10.11.6-MariaDB,', COMMANDS[1:])}:{path}"
    done = provide(tmp_path / "cache", PATH=path)
    assert done.stdout == ""
    assert "its client (mysql, mysqladmin, mysqldump) is not installed" in done.stderr


def test_a_broken_mirror_leaves_nothing_half_done_and_says_so(tmp_path: Path) -> None:
    done = provide(
        tmp_path, LAMBDA_UDF_UNPACKED="1", LAMBDA_UDF_MIRROR="http://127.0.0.1:1/debian", http_proxy=""
    )
    assert (done.returncode, done.stdout) == (1, "")
    # apt 2.6's words, and apt 3.0's
    assert re.search("Connection refused|Unable to connect to 127.0.0.1:1:", done.stderr)
    assert "install MySQL 8.0 or newer" in done.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == [".lock"]


def test_what_a_killed_run_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".unpack.killed").mkdir()
    provide(tmp_path, LAMBDA_UDF_UNPACKED="1")
    assert [entry.name for entry in tmp_path.iterdir()] == [".lock"]


def test_a_cache_that_cannot_be_written_is_named() -> None:
    done = provide(Path("/proc/nowhere"), LAMBDA_UDF_UNPACKED="1")
    assert "/proc/nowhere cannot be written: set LAMBDA_UDF_CACHE" in done.stderr


KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
TWO_STANZAS = """\
Enabled: no
Types: deb
URIs: http://off.test/debian
Suites: bookworm
Components: main

types: deb
# a comment
uris:
 http://on.test/debian
suites: trixie
components: main
signed-by:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
"""


def stanza(uris: str, **more: str) -> str:
    lines = {
        "Types": "deb deb-src",
        "URIs": uris,
        "Suites": "bookworm bookworm-updates",
        "Components": "main",
    }
    return "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in (lines | more).items())


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.list", "deb http://a.test/debian bookworm main", "http://a.test/debian - no"),
        (
            "a.list",
            f"deb [arch=amd64 signed-by={KEYRING}] http://a.test/debian/ stable main contrib",
            f"http://a.test/debian/ {KEYRING} no",
        ),
        ("a.list", "deb [ trusted=yes ] http://a.test/d bookworm main # ours", "http://a.test/d - yes"),
        ("a.list", "# deb http://a.test/debian sid main\ndeb-src http://a.test/debian sid main", ""),
        ("a.list", "deb http://a.test/debian-security bookworm-security main", ""),
        ("a.list", "deb [signed-by=/k/vendor.gpg] http://vendor.test/apt bookworm main", ""),
        (
            "a.sources",
            stanza("http://a.test/debian http://b.test/debian", Signed_By=KEYRING),
            f"http://a.test/debian {KEYRING} no",
        ),
        ("a.sources", TWO_STANZAS, "http://on.test/debian - no"),
        (
            "a.sources",
            stanza("mirror+file:///etc/apt/debian.list"),
            "mirror+file:///etc/apt/debian.list - no",
        ),
    ],
)
def test_the_machines_own_mirror_is_read_from_both_formats(
    tmp_path: Path, name: str, text: str, found: str
) -> None:
    (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["awk", "-v", "codename=bookworm", "-f", str(MIRROR_AWK), str(tmp_path / name)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == found
