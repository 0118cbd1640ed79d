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


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """machine.sh for another /etc/apparmor.d, where mysqld has a profile and the administrator a line without an end."""
    for name in ("abstractions", "local", "kernel", "python", "bin"):
        (tmp_path / name).mkdir()
    (tmp_path / "usr.sbin.mysqld").write_text(PROFILE)
    (tmp_path / "local/usr.sbin.mysqld").write_text("  /srv/mysql/** rwk,")
    # This machine's kernel gets no profile: the parser reads it all the same.
    parser = tmp_path / "bin/apparmor_parser"
    parser.write_text(f"""#!/bin/sh
echo "$*" >>{tmp_path}/loaded
exec {PARSER} --skip-kernel-load --skip-cache --Include={tmp_path} "$@"
""")
    (tmp_path / "bin/systemd-sysusers").write_text("#!/bin/sh\n")
    for path in (tmp_path / "bin").iterdir():
        path.chmod(0o755)
    script = (ROOT / "packaging/packages/machine.sh").read_text()
    for there, here in (
        ("/etc/apparmor.d", tmp_path),
        ("/sys/kernel/security/apparmor", tmp_path / "kernel"),
        ("/usr/lib/lambda-udf/python", tmp_path / "python"),
    ):
        assert there in script
        script = script.replace(there, str(here))
    (tmp_path / "machine").write_text(script)
    return tmp_path


def run(machine: Path, step: str) -> int:
    """How often mysqld's profile was loaded until then."""
    subprocess.run(
        ["sh", machine / "machine", step],
        env={"PATH": f"{machine}/bin:/usr/bin:/bin"},
        check=True,
        timeout=60,
    )
    return (machine / "loaded").read_text().splitlines().count(f"--replace {machine}/usr.sbin.mysqld")


def test_the_package_leaves_the_administrators_rules_alone_and_loads_what_an_upgrade_brings(
    machine: Path,
) -> None:
    local = machine / "local/usr.sbin.mysqld"
    (machine / "abstractions/lambda-udf").write_text(SNIPPET.read_text())
    assert run(machine, "add") == 1
    assert local.read_text() == "  /srv/mysql/** rwk,\n#include if exists <abstractions/lambda-udf>\n"
    (machine / "abstractions/lambda-udf").write_text(SNIPPET.read_text() + "  /srv/lambda/sidecar.sock rw,\n")
    assert run(machine, "add") == 2, "the new rules are not loaded"
    assert local.read_text().count("lambda-udf") == 1
    assert run(machine, "remove") == 3
    assert local.read_text() == "  /srv/mysql/** rwk,\n"


def test_a_wrong_rule_is_refused(tmp_path: Path) -> None:
    assert parse(tmp_path, SNIPPET.read_text().replace(" rw,", " rw")).returncode != 0
