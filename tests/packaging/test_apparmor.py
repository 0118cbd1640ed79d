"""packaging/apparmor/ as AppArmor's own parser reads it, within a profile of mysqld; nothing is loaded.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.support.checkout import ROOT

from lambda_sidecar.config.config import Config

PARSER = shutil.which("apparmor_parser", path="/usr/sbin:/sbin:/usr/bin:/bin")
SNIPPET = ROOT / "packaging/apparmor/lambda-udf"
# The frame of Debian's and Ubuntu's /etc/apparmor.d/usr.sbin.mysqld: its last line is this include.
PROFILE = """#include <tunables/global>
/usr/sbin/mysqld {
  #include <abstractions/base>
  #include <local/usr.sbin.mysqld>
}
"""

pytestmark = pytest.mark.skipif(PARSER is None, reason="needs apparmor_parser (Debian's package apparmor)")


def parse(directory: Path, snippet: str) -> subprocess.CompletedProcess[str]:
    """Compiles the profile with the snippet, installed as its head says, and shows its rules."""
    (directory / "abstractions").mkdir()
    (directory / "abstractions/lambda-udf").write_text(snippet)
    (directory / "local").mkdir()
    (line,) = [line for line in SNIPPET.read_text().splitlines() if "#include" in line]
    (directory / "local/usr.sbin.mysqld").write_text(line.removeprefix("#").strip() + "\n")
    (directory / "profile").write_text(PROFILE)
    return subprocess.run(
        [str(PARSER), "--skip-kernel-load", "--skip-cache", "--debug", f"--Include={directory}", "profile"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_mysqld_may_connect_to_the_socket_and_map_the_library(tmp_path: Path) -> None:
    parsed = parse(tmp_path, SNIPPET.read_text())
    assert parsed.returncode == 0, parsed.stderr
    # AppArmor 3 says `Mode: rm:rm Name: (…)`, AppArmor 4 `Perms: rm:rm priority=0 Name: (…)`.
    found = re.findall(r"(?:Mode|Perms):\s+(\S+)(?:\s+priority=0)?\s+Name:\s+\((.+)\)", parsed.stdout)
    socket = str(Config().socket)
    assert ("rwa:rwa", f"/{{,var/}}{socket.removeprefix('/')}") in found
    assert ("rm:rm", "/usr/lib{,64}/mysql/plugin/lambda_udf.so") in found


def test_the_package_puts_that_line_into_the_profile() -> None:
    script = (ROOT / "packaging/packages/machine.sh").read_text()
    (rule,) = re.findall(r"^RULE='(.+)'$", script, re.MULTILINE)
    assert f"#   {rule}\n" in SNIPPET.read_text()
    assert f"echo '{rule}' >>" in (ROOT / "docs/install.md").read_text()


def test_a_wrong_rule_is_refused(tmp_path: Path) -> None:
    assert parse(tmp_path, SNIPPET.read_text().replace(" rw,", " rw")).returncode != 0
