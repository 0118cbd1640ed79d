"""The service as shipped, under a real systemd: start, kill -9, a stuck loop, reload, stop, and the order with MySQL.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import os
import re
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.aws_sidecar import OK, key_of
from tests.support.checkout import ROOT
from tests.support.invoker_client import open_stream
from tests.support.lambda_endpoint import Endpoint, held, lambda_endpoint
from tests.support.systemd_machine import UNITS, SystemdMachine, why_not
from tests.support.waiting import wait_until

from lambda_sidecar.access.account import Account
from lambda_sidecar.contract.diagnosis_client import diagnose

REASON = why_not()
pytestmark = pytest.mark.skipif(bool(REASON), reason=f"no systemd can be booted: {REASON}")

PACKAGING = ROOT / "packaging/systemd"
SERVICE = "lambda-sidecar.service"
CONFIG = "/etc/lambda-sidecar/sidecar.toml"
SOCKET = "/run/lambda-sidecar/sidecar.sock"
DROP_IN = f"{UNITS}/{SERVICE}.d/test.conf"
GOOD = 'region = "us-east-1"\naccount_id = "123456789012"\n'
KEYS = "[default]\naws_access_key_id = AKIDCREDSTORE\naws_secret_access_key = canary\n"
# Both in one transaction, as at the machine's start.
SERVER = f"[Unit]\nWants=mysql.service {SERVICE}\n"
MYSQL = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with lambda_endpoint(OK) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def booted(endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemdMachine]:
    files = {
        f"{UNITS}/{SERVICE}": (PACKAGING / SERVICE).read_text(),
        f"{UNITS}/mysql.service": MYSQL,
        f"{UNITS}/server.target": SERVER,
        "/etc/sysusers.d/lambda-sidecar.conf": (PACKAGING / "lambda-sidecar.sysusers").read_text(),
        "/etc/sysusers.d/mysql.conf": "u mysql -\n",
        "/etc/lambda-sidecar/environment": f"AWS_ENDPOINT_URL_LAMBDA={endpoint.url}\n",
        "/etc/credstore/lambda-sidecar.aws": KEYS,
        "/var/lib/mysql/ibdata1": "rows",
        CONFIG: GOOD,
        DROP_IN: "",
    }
    with SystemdMachine(tmp_path_factory.mktemp("systemd"), files) as machine:
        yield machine


@pytest.fixture
def machine(booted: SystemdMachine) -> Iterator[SystemdMachine]:
    """With the service as shipped, which does not run yet."""
    yield booted
    booted.systemctl("stop", "server.target", "mysql.service", SERVICE)
    booted.path(CONFIG).write_text(GOOD)
    set_up(booted, "")


def set_up(machine: SystemdMachine, settings: str) -> None:
    """`settings` are the drop-in's, of section [Service]."""
    machine.path(DROP_IN).write_text(f"[Service]\n{settings}\n")
    machine.systemctl("daemon-reload")
    machine.systemctl("reset-failed")


def start(machine: SystemdMachine) -> int:
    """Starts the service; its main process, by its number in the machine."""
    started = machine.systemctl("start", SERVICE)
    assert started.returncode == 0, started.stderr + machine.journal(SERVICE)
    return int(machine.show(SERVICE, "MainPID"))


def outside(machine: SystemdMachine, number: int) -> int:
    """The process's number here: proc_pid_status(5), NSpid."""
    for process in (entry for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        try:
            status = (process / "status").read_text()
        except OSError:  # it has just ended
            continue
        numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
        same = (
            numbers[1:] == [str(number)]
            and (process / "ns/pid").stat() == machine.path("/proc/1/ns/pid").stat()
        )
        if same:
            return int(numbers[0])
    raise AssertionError(f"no process {number} in the machine")


def call(machine: SystemdMachine) -> bytes:
    with open_stream(machine.path(SOCKET)) as stream:
        return stream.ask("Echo").result.payload


def restarted(machine: SystemdMachine, count: int) -> Callable[[], bool]:
    return lambda: (
        (machine.show(SERVICE, "NRestarts"), machine.show(SERVICE, "ActiveState")) == (str(count), "active")
    )


def test_it_starts_and_calls_with_the_keys_of_the_credential_store(
    machine: SystemdMachine, endpoint: Endpoint
) -> None:
    start(machine)
    assert call(machine) == b'"done"'
    assert key_of(endpoint.headers[-1]) == "AKIDCREDSTORE"
    assert machine.show(SERVICE, "StatusText") == f"serving on {SOCKET}"


def test_it_looks_at_itself_in_its_sandbox_and_the_journal_knows_which_lines_are_warnings(
    machine: SystemdMachine,
) -> None:
    start(machine)
    answer = diagnose(machine.path(SOCKET), "Echo", Account("app", "%"))
    found = [f"{finding.step}: {finding.text}" for finding in answer.findings]
    assert answer.configuration == CONFIG
    assert found[0] == (
        "socket: belongs to lambda-sidecar, group mysql, mode 0660; "
        "its folder belongs to lambda-sidecar, group mysql, mode 0750"
    )
    assert any(each.startswith("credentials: found; ") for each in found), found
    with open_stream(machine.path(SOCKET)) as stream:
        assert stream.error("no/name")
    failed = "WARNING lambda_sidecar.call: call failed: "
    wait_until(
        lambda: failed in machine.journal(SERVICE, "--priority=warning", "--output=cat"), what="the line"
    )
    warnings = machine.journal(SERVICE, "--priority=warning", "--output=cat")
    assert " INFO " not in warnings
    assert "<4>" not in warnings
    assert "lambda-sidecar" in machine.journal(SERVICE, "--priority=info", "--output=cat")


def test_the_keys_may_be_encrypted(machine: SystemdMachine, endpoint: Endpoint) -> None:
    drop_in = (PACKAGING / "drop-in.conf").read_text()
    examples = re.findall(r"^#(LoadCredential\w*=.*)$", drop_in, re.MULTILINE)
    source, store = machine.path("/run/keys"), "/etc/credstore.encrypted/lambda-sidecar.aws"
    source.write_text(KEYS.replace("AKIDCREDSTORE", "AKIDENCRYPTED"))
    made = machine.run(
        "sh",
        "-c",
        f"mkdir -p {Path(store).parent} && systemd-creds encrypt --with-key=host --name=aws /run/keys {store}",
    )
    assert made.returncode == 0, made.stderr
    source.unlink()
    set_up(machine, "\n".join(examples))
    start(machine)
    call(machine)
    assert key_of(endpoint.headers[-1]) == "AKIDENCRYPTED"


def test_only_its_account_and_group_mysql_reach_the_socket(machine: SystemdMachine) -> None:
    start(machine)
    for path, mode in ((SOCKET, 0o660), (str(Path(SOCKET).parent), 0o750)):
        status = machine.path(path).stat()
        described = machine.run("stat", "--format=%U:%G", path).stdout.strip()
        assert (stat.S_IMODE(status.st_mode), described) == (mode, "lambda-sidecar:mysql")


def test_the_sandbox_hides_mysqls_files_and_forbids_what_it_should(machine: SystemdMachine) -> None:
    number = start(machine)
    process = outside(machine, number)
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    assert int(status["CapBnd"], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    root = Path(f"/proc/{process}/root")
    assert list((root / "var/lib/mysql").iterdir()) == []
    assert list((root / "root").iterdir()) == []
    assert machine.path("/var/lib/mysql/ibdata1").read_text() == "rows"
    with pytest.raises(OSError, match="Read-only file system"):
        (root / "etc/passwd").open("a")


def test_all_the_sessions_of_a_server_may_connect_at_once(machine: SystemdMachine) -> None:
    """The kernel's limit, not the 128 that gRPC falls back to when it may not read it."""
    start(machine)
    listening = machine.run(
        "ss", "--no-header", "--listening", "--unix", f"src unix:{SOCKET}*"
    ).stdout.split()
    assert int(listening[3]) == int(Path("/proc/sys/net/core/somaxconn").read_text())


def test_a_killed_sidecar_is_replaced_and_calls_go_on(machine: SystemdMachine) -> None:
    number = start(machine)
    lock = machine.path(SOCKET + ".lock").stat().st_ino
    os.kill(outside(machine, number), signal.SIGKILL)
    wait_until(restarted(machine, 1), what="a new sidecar")
    assert int(machine.show(SERVICE, "MainPID")) != number
    assert machine.path(SOCKET + ".lock").stat().st_ino == lock
    assert call(machine) == b'"done"'


def test_it_is_never_given_up(machine: SystemdMachine) -> None:
    set_up(machine, "RestartSec=0")
    start(machine)
    for count in range(1, 8):  # more than systemd's default limit of 5 in 10 s
        os.kill(outside(machine, int(machine.show(SERVICE, "MainPID"))), signal.SIGKILL)
        wait_until(restarted(machine, count), what=f"restart {count}")


def test_a_stuck_event_loop_is_ended_says_where_and_is_replaced(machine: SystemdMachine) -> None:
    set_up(machine, "WatchdogSec=1")
    start(machine)
    file = machine.path(CONFIG)
    file.unlink()
    os.mkfifo(file)  # opening it waits for a writer
    machine.systemctl("reload", "--no-block", SERVICE)
    reading = "reading the configuration again"
    wait_until(lambda: machine.show(SERVICE, "StatusText") == reading, what="a sidecar that reads")
    (new := file.with_suffix(".new")).write_text(GOOD)
    new.replace(file)
    wait_until(restarted(machine, 1), what="a new sidecar")
    assert call(machine) == b'"done"'
    journal = machine.journal(SERVICE)
    assert "Watchdog timeout" in journal
    assert "Fatal Python error: Aborted" in journal
    assert "lambda_sidecar/config/config.py" in journal


def test_reload_changes_the_running_process_and_the_status_says_what_came_of_it(
    machine: SystemdMachine,
) -> None:
    number = start(machine)
    machine.path(CONFIG).write_text(GOOD + "drain_seconds = 5\n")
    assert machine.systemctl("reload", SERVICE).returncode == 0
    good = f"serving on {SOCKET}; configuration reloaded; changed: drain_seconds"
    wait_until(lambda: machine.show(SERVICE, "StatusText") == good, what=good)
    machine.path(CONFIG).write_text("colour = 'red'\n")
    assert machine.systemctl("reload", SERVICE).returncode == 0
    bad = "configuration not reloaded, the old one stays: /etc/lambda-sidecar/sidecar.toml: unknown key 'colour'"
    wait_until(lambda: bad in machine.show(SERVICE, "StatusText"), what=bad)
    wait_until(lambda: machine.show(SERVICE, "ActiveState") == "active", what="the reload's end")
    assert int(machine.show(SERVICE, "MainPID")) == number
    assert call(machine) == b'"done"'


def test_a_wrong_configuration_is_a_failed_service_that_is_not_tried_again(machine: SystemdMachine) -> None:
    machine.path(CONFIG).write_text("colour = 'red'\n")
    assert machine.systemctl("start", SERVICE).returncode != 0
    assert machine.show(SERVICE, "ActiveState") == "failed"
    assert (machine.show(SERVICE, "ExecMainStatus"), machine.show(SERVICE, "NRestarts")) == ("2", "0")


def test_a_stop_is_clean_and_removes_the_folder(machine: SystemdMachine) -> None:
    start(machine)
    assert machine.systemctl("stop", SERVICE).returncode == 0
    assert (machine.show(SERVICE, "ActiveState"), machine.show(SERVICE, "Result")) == ("inactive", "success")
    assert not machine.path(SOCKET).parent.exists()


def test_a_stop_waits_for_running_calls_longer_than_systemd_would(
    machine: SystemdMachine, endpoint: Endpoint
) -> None:
    set_up(machine, "TimeoutStopSec=1")
    start(machine)
    go_on = threading.Event()
    endpoint.answers.insert(0, held(go_on, OK))
    with open_stream(machine.path(SOCKET)) as stream:
        seen = len(endpoint.paths)
        stream.send("Echo")
        wait_until(lambda: len(endpoint.paths) > seen, what="the call at the endpoint")
        machine.systemctl("stop", "--no-block", SERVICE)
        asked = time.monotonic()
        wait_until(lambda: time.monotonic() - asked > 3, what="more than TimeoutStopSec")
        assert machine.show(SERVICE, "ActiveState") == "deactivating"
        go_on.set()
        assert stream.receive().result.payload == b'"done"'
    wait_until(lambda: machine.show(SERVICE, "ActiveState") == "inactive", what="its end")
    assert machine.show(SERVICE, "Result") == "success"


def test_a_restart_serves_on_until_the_call_under_way_is_done_and_then_anew(
    machine: SystemdMachine, endpoint: Endpoint
) -> None:
    number = start(machine)
    go_on = threading.Event()
    endpoint.answers.insert(0, held(go_on, OK))
    with open_stream(machine.path(SOCKET)) as stream:
        seen = len(endpoint.paths)
        stream.send("Echo")
        wait_until(lambda: len(endpoint.paths) > seen, what="the call at the endpoint")
        machine.systemctl("restart", "--no-block", SERVICE)
        wait_until(lambda: machine.show(SERVICE, "ActiveState") == "deactivating", what="a stop")
        assert call(machine) == b'"done"'
        assert int(machine.show(SERVICE, "MainPID")) == number
        go_on.set()
        assert stream.receive().result.payload == b'"done"'
    wait_until(lambda: machine.show(SERVICE, "ActiveState") == "active", what="a new sidecar")
    assert int(machine.show(SERVICE, "MainPID")) not in (0, number)
    assert call(machine) == b'"done"'


def test_mysql_starts_when_the_sidecar_serves(machine: SystemdMachine) -> None:
    assert machine.systemctl("start", "server.target").returncode == 0
    ready = int(machine.show(SERVICE, "ActiveEnterTimestampMonotonic"))
    assert 0 < ready <= int(machine.show("mysql.service", "ExecMainStartTimestampMonotonic"))


@pytest.mark.parametrize(
    "config",
    ["colour = 'red'\n", "socket = '/etc/passwd'\n"],
    ids=["wrong configuration", "start that fails"],
)
def test_mysql_starts_without_a_sidecar_too(machine: SystemdMachine, config: str) -> None:
    machine.path(CONFIG).write_text(config)
    machine.systemctl("start", "server.target")
    assert machine.show("mysql.service", "ActiveState") == "active"
    assert machine.show(SERVICE, "ActiveState") != "active"
