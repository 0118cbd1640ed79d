"""From nothing to the first call, as docs/install.md has it: walked on a Debian 12 that has systemd and MySQL alone.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.aws_sidecar import OK, key_of
from tests.support.bare_debian import MYSQL, BareDebian, debian_12, unpacked_mysql
from tests.support.checkout import ROOT
from tests.support.lambda_endpoint import Endpoint, lambda_endpoint
from tests.support.markdown import blocks
from tests.support.packages import NATIVE, package, packages, why_no_other
from tests.support.systemd_machine import why_not
from tests.support.waiting import wait_until

from lambda_sidecar.testing import datadir

REASON = why_not() or why_no_other()
pytestmark = pytest.mark.skipif(bool(REASON), reason=f"no machine for the packages: {REASON}")

STEPS = 4
HERE = "tests/packaging runs it"
SERVICE, FIRST_START = "lambda-sidecar.service", "lambda-sidecar-first-start.path"
STARTER = "lambda-sidecar-first-start.service"
PACKAGES, DATA = "/mnt/packages", "/mnt/data"
# MySQL as a server has it before lambda-udf comes: the account `app` is there.
MYSQLD = f"""[Service]
Type=simple
User=mysql
RuntimeDirectory=mysqld
ExecStartPre=+/bin/cp -r {DATA} /var/lib/mysql
ExecStartPre=+/bin/chown -R mysql: /var/lib/mysql
ExecStartPre=+/bin/cp -r {MYSQL}/root/usr/lib/mysql /usr/lib/mysql
ExecStart={MYSQL}/bin/mysqld --no-defaults --datadir=/var/lib/mysql --socket=/run/mysqld/mysqld.sock \\
  --plugin-dir=/usr/lib/mysql/plugin --skip-networking --mysqlx=OFF {" ".join(datadir.STORAGE_OPTIONS)}
"""
# What a machine at AWS has by itself: an instance profile, and a way to Lambda.
PROFILE = """[Service]
Environment=AWS_ACCESS_KEY_ID=AKIDPROFILE AWS_SECRET_ACCESS_KEY=canary AWS_ENDPOINT_URL_LAMBDA={url}
"""


def steps() -> list[str]:
    """The commands of the quickstart, as they stand there."""
    *commands, packages = (
        block.text.strip() for block in blocks(ROOT / "docs/install.md") if block.not_run.endswith(HERE)
    )
    assert packages == "make packages"  # which has made them, for every test
    return commands


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with lambda_endpoint(OK) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def machine(endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareDebian]:
    folder = tmp_path_factory.mktemp("debian")
    home = unpacked_mysql()
    datadir.create(home, folder / "data")
    files = {
        "/etc/systemd/system/mysql.service": MYSQLD,
        f"/etc/systemd/system/{SERVICE}.d/profile.conf": PROFILE.format(url=endpoint.url),
        "/etc/sysusers.d/mysql.conf": "u mysql -\n",
    }
    mounts = (str(home), MYSQL, str(packages()), PACKAGES, str(folder / "data"), DATA)
    base = debian_12(folder / "base")
    with BareDebian(folder / "machine", base, files, mounts) as machine:
        machine.shell("systemctl start mysql")
        machine.shell(f"ln -s {MYSQL}/bin/mysql /usr/local/bin/; apt-get update")
        wait_until(
            lambda: machine.run("/usr/local/bin/mysql", "-e", "CREATE USER app@localhost").returncode == 0,
            what="MySQL",
        )
        yield machine
    shutil.rmtree(base)


@pytest.fixture(scope="module")
def printed(machine: BareDebian) -> list[str]:
    """What each step of the quickstart prints. As long as a person's typing takes, the sidecar has to start."""
    install, edit, *others = steps()
    install = (
        f"cd {PACKAGES}; {install.replace('apt install', 'apt-get install --yes').replace('amd64', NATIVE)}"
    )
    texts = [machine.shell(step, seconds=300) for step in (install, edit)]
    wait_until(lambda: machine.show(SERVICE, "ActiveState") == "active", what="a sidecar")
    return texts + [machine.shell(step) for step in others]


def process(machine: BareDebian) -> int:
    """The sidecar's; 0 while there is none."""
    return int(machine.show(SERVICE, "MainPID"))


def edit(machine: BareDebian, path: str, text: str) -> None:
    """As an editor does: a new file takes the old one's place."""
    machine.shell(f"cp -p {path} {path}.new; echo {shlex.quote(text)} >{path}.new; mv {path}.new {path}")


def test_four_steps_lead_from_nothing_to_the_first_call(
    machine: BareDebian, printed: list[str], endpoint: Endpoint
) -> None:
    assert len(printed) == STEPS
    assert printed[-1].splitlines()[1:] == ['"done"']
    assert key_of(endpoint.headers[-1]) == "AKIDPROFILE"
    assert "/eu-central-1/lambda/" in endpoint.headers[-1]["authorization"]


def test_the_command_takes_nothing_in_of_another_python(machine: BareDebian, printed: list[str]) -> None:
    machine.shell(
        "mkdir -p /tmp/other; echo 'raise SystemExit(3)' | tee /tmp/other/lambda_sidecar.py >/tmp/other/grpc.py"
    )
    version = machine.shell(
        "cd /tmp/other; PYTHONHOME=/tmp/other PYTHONPATH=/tmp/other lambda-sidecar --version"
    )
    assert version == machine.shell("lambda-sidecar --version")


def test_the_sidecar_runs_as_its_account_and_starts_with_the_machine(
    machine: BareDebian, printed: list[str]
) -> None:
    assert machine.shell("systemctl is-enabled lambda-sidecar").strip() == "enabled"
    assert machine.shell(f"stat -c %U:%G /proc/{process(machine)}").strip() == "lambda-sidecar:mysql"
    assert machine.show(FIRST_START, "ActiveState") == "inactive"


def test_mysqlds_apparmor_profile_gets_the_rules_once(machine: BareDebian, printed: list[str]) -> None:
    machine.shell("/usr/lib/lambda-udf/machine add")
    rules = machine.path("/etc/apparmor.d/local/usr.sbin.mysqld").read_text()
    assert rules == "#include if exists <abstractions/lambda-udf>\n"
    assert machine.path("/etc/apparmor.d/abstractions/lambda-udf").exists()


def test_an_upgrade_restarts_the_sidecar_and_keeps_what_was_edited(
    machine: BareDebian, printed: list[str]
) -> None:
    old = process(machine)
    machine.shell(f"dpkg --install {PACKAGES}/*{NATIVE}.deb")
    wait_until(lambda: process(machine) not in (0, old), what="a new sidecar")
    assert machine.shell(steps()[-1]).splitlines()[1:] == ['"done"']
    assert "\nAWS_REGION=" in machine.path("/etc/lambda-sidecar/environment").read_text()


def newer(machine: BareDebian, folder: Path, path: str, line: str) -> str:
    """A later version of the package, in the machine, whose file `path` has another line at its end."""
    subprocess.run(["dpkg-deb", "-R", package("deb", NATIVE), folder], check=True)
    with (folder / path.strip("/")).open("a") as file:
        file.write(line)
    control = folder / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*$", "Version: 9", control.read_text()))
    subprocess.run(["dpkg-deb", "-Znone", "-b", folder, machine.path("/root/newer.deb")], check=True)
    shutil.rmtree(folder)
    return "/root/newer.deb"


def test_an_upgrade_that_fails_leaves_all_as_it_was(
    machine: BareDebian, printed: list[str], tmp_path: Path
) -> None:
    old, refused = process(machine), tmp_path / "refused/DEBIAN"
    refused.mkdir(parents=True)
    (refused / "control").write_text(
        f"Package: lambda-udf\nVersion: 9\nArchitecture: {NATIVE}\nMaintainer: nobody\nDescription: none\n"
    )
    (refused / "preinst").write_text("#!/bin/sh\nexit 1\n")
    (refused / "preinst").chmod(0o755)
    subprocess.run(["dpkg-deb", "-b", refused.parent, machine.path("/root/refused.deb")], check=True)
    assert machine.run("dpkg", "--install", "/root/refused.deb").returncode != 0
    assert machine.shell("dpkg-query -W -f '${db:Status-Abbrev}' lambda-udf").strip() == "ii"
    assert process(machine) == old
    assert machine.path("/usr/lib/lambda-udf/python/lambda_sidecar/__pycache__").is_dir()


def test_an_installation_after_a_removal_starts_the_sidecar_again(
    machine: BareDebian, printed: list[str]
) -> None:
    machine.shell("dpkg --remove lambda-udf")
    assert process(machine) == 0
    assert machine.path("/etc/apparmor.d/local/usr.sbin.mysqld").read_text() == ""
    machine.shell(f"dpkg --install {PACKAGES}/*{NATIVE}.deb")
    wait_until(lambda: machine.show(SERVICE, "ActiveState") == "active", what="a sidecar")
    assert machine.shell("systemctl is-enabled lambda-sidecar").strip() == "enabled"
    assert machine.show(FIRST_START, "ActiveState") == "inactive"


def test_a_purge_leaves_what_the_administrator_made_and_the_account(
    machine: BareDebian, printed: list[str]
) -> None:
    keys = "/etc/credstore/lambda-sidecar.aws"
    machine.shell(f"mkdir -p /etc/credstore; echo '[default]' >{keys}")
    machine.shell("lambda-sidecar uninstall; dpkg --purge lambda-udf")
    assert process(machine) == 0
    left = "find / -xdev -name '*lambda-*' -not -path '/proc/*' -not -path '*/lambda-sidecar.service.d'"
    assert machine.shell(f"{left} -not -path '{PACKAGES}/*'").split() == [keys]
    assert machine.shell("id -u lambda-sidecar").strip().isdigit()
    machine.shell(f"rm {keys}")


def test_an_edit_starts_a_new_sidecar_and_neither_an_upgrade_nor_a_wrong_edit_does(
    machine: BareDebian, printed: list[str], tmp_path: Path
) -> None:
    toml = "/etc/lambda-sidecar/sidecar.toml"
    machine.shell(f"dpkg --purge lambda-udf; dpkg --install {PACKAGES}/*{NATIVE}.deb")
    assert (process(machine), machine.show(FIRST_START, "ActiveState")) == (0, "active")
    machine.shell(f"dpkg --install {newer(machine, tmp_path / 'newer', toml, '# More.')}")
    assert machine.path(toml).read_text().endswith("\n# More.")
    assert (process(machine), machine.show(FIRST_START, "SubState")) == (0, "waiting")
    assert machine.run("systemctl", "is-enabled", "lambda-sidecar").stdout.strip() == "disabled"

    keys = "/etc/credstore/lambda-sidecar.aws"
    machine.shell(f"mkdir -p /etc/credstore; touch {keys}; chmod 600 {keys}")
    wait_until(lambda: machine.show(STARTER, "Result") == "exec-condition", what="a look at the empty file")
    wait_until(lambda: machine.show(FIRST_START, "SubState") == "waiting", what="a unit that waits again")
    assert process(machine) == 0
    machine.shell(f"rm {keys}")

    edit(machine, toml, 'colour = "red"')
    wait_until(lambda: machine.show(SERVICE, "ExecMainStatus") == "2", what="a refused configuration")
    wait_until(lambda: machine.show(FIRST_START, "SubState") == "waiting", what="a unit that waits again")
    edit(machine, toml, 'region = "eu-central-1"')
    wait_until(lambda: machine.show(SERVICE, "ActiveState") == "active", what="a sidecar")
