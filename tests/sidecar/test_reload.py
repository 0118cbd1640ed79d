"""SIGHUP: what changes in a running sidecar, what stays, and that no call feels it.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.account import ARN, ROLE
from tests.support.aws_sidecar import AwsSidecar, aws_sidecar
from tests.support.invoker_client import open_stream
from tests.support.waiting import wait_until

from lambda_sidecar.access.changes import LISTED_MAX
from lambda_sidecar.testing.sidecar import SidecarProcess, toml_text

RELOADED = "configuration reloaded; "
REFUSED = "configuration not reloaded, the old one stays: "


def reload(sidecar: SidecarProcess, text: str | bytes, outcome: str) -> None:
    """Puts `text` in the file's place, sends SIGHUP, and waits for the line with the outcome."""
    before = sidecar.log_text().count(outcome)
    data = text.encode() if isinstance(text, str) else text
    sidecar.config_file.write_bytes(data)
    os.kill(sidecar.pid, signal.SIGHUP)
    wait_until(lambda: sidecar.log_text().count(outcome) > before, what=outcome)


def changed(aws: AwsSidecar, **settings: object) -> str:
    return toml_text({**aws.sidecar.config, **settings})


@contextmanager
def load_on(sidecar: SidecarProcess, function: str) -> Iterator[list[str]]:
    """Calls without a pause from four clients; gives what failed."""
    failed: list[str] = []
    done = [0] * 4
    stop = threading.Event()

    def call(number: int) -> None:
        with open_stream(sidecar.socket) as stream:
            while not stop.is_set():
                answer = stream.ask(function)
                if answer.WhichOneof("outcome") != "result":
                    failed.append(answer.error.message)
                done[number] += 1

    threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: all(done), what="calls of every client")
        yield failed
        seen = list(done)
        wait_until(lambda: all(now > then for now, then in zip(done, seen, strict=True)), what="more calls")
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_good_and_broken_files_under_load_fail_no_call(tmp_path: Path) -> None:
    with (
        aws_sidecar(tmp_path, aws_default_lambda_role=ROLE + "one") as aws,
        load_on(aws.sidecar, "Echo") as failed,
    ):
        for _ in range(5):
            reload(aws.sidecar, changed(aws, aws_default_lambda_role=ROLE + "two", allow=[]), RELOADED)
            for broken in ("colour = 'red'", "region = ", b"\xff\xfe", "role_duration_seconds = 1"):
                reload(aws.sidecar, broken, REFUSED)
            reload(aws.sidecar, changed(aws, allow=[{"account": "app@*", "function": "Echo"}]), RELOADED)
        assert failed == []
    roles = {request["RoleArn"] for request in aws.sts.requests}
    assert roles == {ROLE + "one", ROLE + "two"}


def test_new_rules_and_regions_hold_for_the_next_call(aws: AwsSidecar) -> None:
    assert aws.stream.ask("Echo").result.status_code == 200
    reload(aws.sidecar, changed(aws, allow=[{"account": "other@*"}]), RELOADED + "changed: allow")
    assert aws.stream.error("Echo") == f"AccessDenied: account 'app'@'%' may not invoke {ARN}Echo"
    reload(aws.sidecar, changed(aws, region="eu-west-1", allow=[]), RELOADED + "changed: region, allow")
    assert aws.stream.ask("Echo").result.status_code == 200
    assert "eu-west-1%3A123456789012%3Afunction%3AEcho" in aws.endpoint.paths[-1]
    assert "/eu-west-1/lambda/" in aws.endpoint.headers[-1]["authorization"]


def test_a_broken_file_is_named_in_the_log_and_the_old_rules_stay(tmp_path: Path) -> None:
    with aws_sidecar(tmp_path, allow=[{"account": "other@*"}]) as aws:
        reload(aws.sidecar, "colour = 'red'", f"{REFUSED}{aws.sidecar.config_file}: unknown key 'colour'")
        assert aws.stream.error("Echo") == f"AccessDenied: account 'app'@'%' may not invoke {ARN}Echo"
        aws.sidecar.config_file.unlink()
        os.kill(aws.sidecar.pid, signal.SIGHUP)
        wait_until(
            lambda: aws.sidecar.log_contains("sidecar.toml: No such file or directory"), what="the reason"
        )
        assert aws.stream.error("Echo") == f"AccessDenied: account 'app'@'%' may not invoke {ARN}Echo"


def test_the_log_level_changes_while_it_runs(tmp_path: Path) -> None:
    with aws_sidecar(tmp_path, aws_default_lambda_role=ROLE + "one", log_level="info") as aws:
        aws.stream.ask("Echo")
        assert not aws.sidecar.log_contains("assumed")
        new = changed(aws, log_level="debug", aws_default_lambda_role=ROLE + "two")
        reload(aws.sidecar, new, RELOADED + "changed: log_level, aws_default_lambda_role")
        aws.stream.ask("Echo")
        wait_until(lambda: aws.sidecar.log_contains(f" role={ROLE}two"), what="a line of level debug")


def test_a_new_socket_needs_a_restart_and_the_log_says_so(aws: AwsSidecar, tmp_path: Path) -> None:
    new = changed(aws, socket=str(tmp_path / "other.sock"), region="eu-west-1")
    reload(aws.sidecar, new, RELOADED + "changed: region; needs a restart: socket")
    assert aws.stream.ask("Echo").result.status_code == 200
    assert not (tmp_path / "other.sock").exists()
    reload(aws.sidecar, changed(aws), RELOADED + "changed: region")
    reload(aws.sidecar, changed(aws), RELOADED + "changed: nothing")


def test_a_running_local_lambda_takes_no_roles(sidecar: SidecarProcess) -> None:
    text = f"socket = '{sidecar.socket}'\naws_default_lambda_role = '{ROLE}one'\n"
    reload(
        sidecar,
        text,
        REFUSED + "with the [local] that runs: local: a Lambda on this machine has no roles",
    )
    with open_stream(sidecar.socket) as stream:
        assert stream.ask("Echo", b"1").result.payload == b"1"


ALLOW = [
    {"account": "app@*", "function": "Echo"},
    {"account": "report@*", "function": "Sleep"},
    {"account": "'a b'@%"},
]
RULES = [
    {"account": "app@*", "role": ROLE + "app", "external_id": "hush-hush"},
    {"account": "report@*", "function": "Sleep", "role": ROLE + "report", "duration_seconds": 900},
]
CHANGED = "WARNING lambda_sidecar.reload: access has changed: "


def cut_before(text: str, mark: str) -> str:
    """As a file that is being written, or that a full disk has cut off."""
    head, found, _ = text.partition(mark)
    assert found
    return head


@pytest.mark.parametrize(("key", "rules"), [("allow", ALLOW), ("role_rules", RULES)])
def test_a_file_that_was_cut_off_before_its_rules_is_refused_and_they_stay(
    tmp_path: Path, key: str, rules: list[dict[str, str]]
) -> None:
    refusal = f"the file has no [[{key}]], and {len(rules)} were in force; if that is meant, write {key} = []"
    others: Any = [{**rule, "account": "other@*"} for rule in rules]
    with aws_sidecar(tmp_path, **{key: others}) as aws:
        cut = cut_before(aws.sidecar.config_file.read_text(), f'[["{key}"]]')
        reload(aws.sidecar, cut, f"ERROR lambda_sidecar.reload: {REFUSED}{refusal}")
        assert "AccessDenied: " in aws.stream.error("Echo")
        reload(aws.sidecar, cut + f"{key} = []\n", f"{RELOADED}changed: {key}")
        assert aws.stream.ask("Echo").result.status_code == 200
        assert aws.sidecar.log_contains(f"{CHANGED}{key}: {len(rules)} before, none now: ")
        reload(aws.sidecar, cut, f"{RELOADED}changed: {key}")  # nothing is lost any more


@pytest.mark.parametrize("text", ["", "# colour = 'red'\n", "log_level = 'info'\n"])
def test_a_file_that_sets_nothing_is_refused_even_without_rules(tmp_path: Path, text: str) -> None:
    with aws_sidecar(tmp_path, aws_default_lambda_role=ROLE + "one") as aws:
        reload(aws.sidecar, text, REFUSED + "the file sets nothing that is not the default anyway")
        assert aws.stream.ask("Echo").result.status_code == 200
        assert aws.sts.requests[-1]["RoleArn"] == ROLE + "one"


def test_a_reload_warns_of_every_change_of_access_by_its_accounts_and_functions(tmp_path: Path) -> None:
    roles: dict[str, Any] = {"aws_default_lambda_role": ROLE + "one", "associated_roles": []}
    with aws_sidecar(tmp_path, allow=ALLOW, role_rules=RULES, **roles) as aws:
        new = changed(
            aws,
            allow=[ALLOW[0], {"account": "new@*"}],
            role_rules=[RULES[1]],
            aws_default_lambda_role=ROLE + "two",
            associated_roles=[ROLE + "two", ROLE + "report"],
            external_id="hush-too",
            session_tags=True,
            account_id="210987654321",
            region="eu-west-1",
        )
        reload(aws.sidecar, new, RELOADED)
        log = aws.sidecar.log_text()
        told = [line.split(CHANGED)[1] for line in log.splitlines() if CHANGED in line]
        assert told == [
            "account_id was 123456789012, is 210987654321 (names that tell none now mean other functions)",
            "region was us-east-1, is eu-west-1 (names that tell none now mean other functions)",
            f"aws_default_lambda_role was {ROLE}one, is {ROLE}two"
            " (without it and without rules: the sidecar's own credentials)",
            "session_tags was False, is True (whether STS gets the account as tags)",
            "external_id has changed",
            f"associated_roles: 0 before, 2 now; new: {ROLE}two; {ROLE}report",
            "allow: 3 before, 2 now; gone: account = 'report@*', function = 'Sleep';"
            " account = \"'a b'@%\", function = '*'; new: account = 'new@*', function = '*'",
            "role_rules: 2 before, 1 now; gone: account = 'app@*', function = '*',"
            f" role = '{ROLE}app', with an external_id",
        ]
        assert "hush" not in log
        reload(aws.sidecar, new, RELOADED + "changed: nothing")
        assert aws.sidecar.log_text().count(CHANGED) == len(told)


def test_another_order_of_the_rules_is_logged_and_many_rules_are_counted(tmp_path: Path) -> None:
    many = [{"account": f"a{number}@*"} for number in range(LISTED_MAX + 2)]
    with aws_sidecar(tmp_path, role_rules=RULES) as aws:
        reload(aws.sidecar, changed(aws, role_rules=RULES[::-1], allow=many), RELOADED)
        assert aws.sidecar.log_contains(f"{CHANGED}role_rules: 2, in another order\n")
        assert aws.sidecar.log_contains(f"{CHANGED}allow: 0 before, {len(many)} now; new: account = 'a0@*'")
        assert aws.sidecar.log_contains(f"account = 'a{LISTED_MAX - 1}@*', function = '*'; and 2 more\n")
