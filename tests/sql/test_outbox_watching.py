"""The outbox as people and Prometheus see it: /metrics, `lambda-sidecar top` and `lambda-sidecar check`.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.account import ACCOUNT_ID
from tests.support.checkout import ROOT
from tests.support.invoker_client import snapshot
from tests.support.lambda_endpoint import Answer, Endpoint, Handler, lambda_endpoint, says
from tests.support.outbox import ACCOUNT_NAME, GRANTS, install
from tests.support.scrape import Scrape, listener, scrape
from tests.support.stack import CANARY, Library, Stack, start_stack
from tests.support.waiting import until, wait_until

from lambda_sidecar.check.report import Report
from lambda_sidecar.config.outbox import OutboxSettings
from lambda_sidecar.outbox import election, schema
from lambda_sidecar.outbox.account_check import ELECTED_SECONDS, look_at_outbox
from lambda_sidecar.outbox.session import Session, connect
from lambda_sidecar.testing.ports import free_port

ACCEPTED = says(202)
COUNTERS = ("accepted_total", "retried_total", "dead_total", "duplicates_total")
INSERT = "INSERT INTO lambda_udf.outbox (function_name, payload, options) VALUES "


@dataclass
class Watched:
    """A stack whose sidecar delivers and serves /metrics, and the endpoint behind it."""

    stack: Stack
    port: int
    endpoint: Endpoint

    def outbox(self) -> dict[str, float]:
        """The outbox's samples, without their prefix."""
        found: Scrape = scrape(self.port)
        return {
            name.removeprefix("outbox_"): value
            for (name, _), value in found.samples.items()
            if name.startswith("outbox_")
        }

    def wait_for(self, **wanted: float) -> None:
        wait_until(lambda: self.outbox().items() >= wanted.items(), what=f"{wanted} in /metrics")

    def restart_sidecar(self) -> None:
        self.stack.sidecar.stop()
        self.stack.sidecar.start()


@contextlib.contextmanager
def watched(mysql_home: Path, directory: Path, *answers: Answer) -> Iterator[Watched]:
    port = free_port()
    table = {"mysql_socket": str(mysql_socket(directory))}
    with (
        lambda_endpoint(*answers) as endpoint,
        start_stack(
            mysql_home,
            directory,
            Library.PLAIN,
            endpoint_url=endpoint.url,
            outbox=table,
            metrics=listener(port),
        ) as stack,
    ):
        install(stack)
        yield Watched(stack, port, endpoint)


def mysql_socket(directory: Path) -> Path:
    """Of the mysqld that start_stack starts in `directory`."""
    return directory / "mysql/mysql.sock"


def top(stack: Stack) -> str:
    return run(stack, "top", "--once", "--socket", str(stack.sidecar.socket)).stdout


def run(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **stack.sidecar.environment}
    return subprocess.run(
        [sys.executable, "-m", "lambda_sidecar.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={name: value for name, value in environment.items() if value is not None},
    )


def check(stack: Stack) -> subprocess.CompletedProcess[str]:
    """Its lines about the outbox."""
    done = run(stack, "check", "--config", str(stack.sidecar.config_file))
    lines = [line for line in done.stdout.splitlines() if " outbox: " in line]
    return subprocess.CompletedProcess(done.args, done.returncode, "\n".join(lines), done.stderr)


# ---- metrics and top ----


def test_what_became_of_rows_is_counted_once_each(mysql_home: Path, tmp_path: Path) -> None:
    def answer(handler: Handler) -> None:
        if "unknown" in handler.path:
            says(404, b"{}", x_amzn_ErrorType="ResourceNotFoundException")(handler)
        elif "busy" in handler.path and sum("busy" in path for path in seen) == 1:
            says(429, b"{}", x_amzn_ErrorType="TooManyRequestsException")(handler)
        else:
            ACCEPTED(handler)

    with watched(mysql_home, tmp_path, answer) as each:
        seen = each.endpoint.paths
        each.wait_for(delivering=1, waiting=0, oldest_seconds=0, **dict.fromkeys(COUNTERS, 0))
        rows = [
            *(f"('quick', '{number}', NULL)" for number in range(20)),
            "('unknown', '1', NULL)",
            "('busy', '1', NULL)",
            *("('once', '1', '{\"deduplication_key\": \"k\"}')" for _ in range(3)),
            """('late', '1', '{"delay_seconds": 0.1, "group_key": "g"}')""",
        ]
        each.stack.query(INSERT + ", ".join(rows))
        each.wait_for(accepted_total=23, dead_total=1, duplicates_total=2, under_way=0)
        found = each.outbox()
        queue = snapshot(each.stack.sidecar.socket).outbox
    assert found["retried_total"] == 1, "and not the row with a delay"
    assert (queue.accepted, queue.retried, queue.dead, queue.duplicates) == (23, 1, 1, 2)
    assert queue.delivering


def test_what_waits_is_seen_with_its_age_and_its_calls(mysql_home: Path, tmp_path: Path) -> None:
    gate = threading.Event()

    def answer(handler: Handler) -> None:
        gate.wait(60)
        ACCEPTED(handler)

    with watched(mysql_home, tmp_path, answer) as each:
        try:
            each.wait_for(delivering=1)
            each.stack.sidecar.stop()
            rows = [
                *(f"('held', '\"{CANARY}\"', NULL)" for _ in range(5)),
                """('later', '1', '{"delay_seconds": 1000}')""",
            ]
            each.stack.query(INSERT + ", ".join(rows))
            each.stack.sidecar.start()
            each.wait_for(delivering=1, waiting=6, under_way=5)
            found = each.outbox()
            told = snapshot(each.stack.sidecar.socket)
            shown = top(each.stack)
        finally:
            gate.set()
        each.wait_for(accepted_total=5)
    assert 0 < found["oldest_seconds"] < 60
    assert (told.outbox.waiting, told.outbox.under_way, told.outbox.state) == (6, 5, "delivers")
    assert abs(told.outbox.oldest_ms / 1000 - found["oldest_seconds"]) < 0.01
    assert re.search(
        r"^outbox delivers; waiting 6, oldest due for \d+\.\d\w+, under way 5$", shown, re.MULTILINE
    )
    assert "  accepted 0, retried 0, dead 0, duplicates 0\n" in shown
    (line,) = {re.sub(r"^ *\S+ ", "", line) for line in shown.splitlines() if " held us-east-1" in line}
    assert line.split() == ["sent", "async", "0", "'root'@'localhost'", "held", "us-east-1", ACCOUNT_ID]
    assert CANARY not in shown


def test_a_group_that_its_first_row_holds_up_is_as_old_as_the_row_behind_it(
    mysql_home: Path, tmp_path: Path
) -> None:
    throttled = says(429, b"{}", x_amzn_ErrorType="TooManyRequestsException", Retry_After="600")
    with watched(mysql_home, tmp_path, throttled) as each:
        each.wait_for(delivering=1)
        each.stack.query(INSERT + ", ".join(["""('f', '1', '{"group_key": "g"}')"""] * 2))
        each.wait_for(retried_total=1, under_way=0)
        each.stack.query("UPDATE lambda_udf.outbox_waiting SET created_at = NOW(6) - INTERVAL 500 SECOND")
        each.restart_sidecar()
        each.wait_for(delivering=1, waiting=2)
        assert 500 <= each.outbox()["oldest_seconds"] < 560
        each.stack.query("DELETE FROM lambda_udf.outbox_waiting WHERE due_at IS NULL")
        each.restart_sidecar()
        each.wait_for(delivering=1, waiting=1, oldest_seconds=0)


def test_what_is_not_known_has_no_sample(mysql_home: Path, tmp_path: Path) -> None:
    """0 would say that all is well."""
    with watched(mysql_home, tmp_path, ACCEPTED) as each:
        each.wait_for(delivering=1, waiting=0)
        each.stack.query("SET GLOBAL read_only = ON")
        each.wait_for(delivering=0)
        assert set(each.outbox()) == {*COUNTERS, "delivering", "under_way"}
        shown = top(each.stack)
        told = snapshot(each.stack.sidecar.socket).outbox
    assert "outbox does not deliver: the server is read-only\n" in shown
    assert not (told.delivering or told.HasField("waiting") or told.HasField("oldest_ms"))


# ---- check ----


def test_check_says_that_all_is_well_with_the_least_rights(mysql_home: Path, tmp_path: Path) -> None:
    with watched(mysql_home, tmp_path, ACCEPTED) as each:
        each.wait_for(delivering=1)
        before = each.stack.query(
            "SELECT COUNT(*), (SELECT COUNT(*) FROM lambda_udf.outbox_dead) FROM lambda_udf.outbox"
        )
        lines = check(each.stack).stdout.splitlines()
        after = each.stack.query(
            "SELECT COUNT(*), (SELECT COUNT(*) FROM lambda_udf.outbox_dead) FROM lambda_udf.outbox"
        )
    assert before == after == [(0, 0)]
    assert [re.sub(r"\d+ delivers", "N delivers", line) for line in lines] == [
        f"ok    outbox: {mysql_socket(tmp_path)} takes the account '{ACCOUNT_NAME}'@'localhost'",
        f"ok    outbox: the schema has version {schema.VERSION}",
        "ok    outbox: the account has the rights that delivery needs",
        "ok    outbox: the server's connection N delivers",
    ]


def test_it_is_the_running_sidecar_that_looks_and_not_the_configuration_of_the_command(
    mysql_home: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text("[outbox]\nmysql_socket = '/nowhere'\n")
    with watched(mysql_home, tmp_path, ACCEPTED) as each:
        each.wait_for(delivering=1)
        done = run(each.stack, "check", "--config", str(other), "--socket", str(each.stack.sidecar.socket))
    lines = [line for line in done.stdout.splitlines() if " outbox: " in line]
    assert len(lines) == 4
    assert {line[:5] for line in lines} == {"ok   "}


def test_check_names_each_missing_right_with_the_grant_that_mends_it(
    mysql_home: Path, tmp_path: Path
) -> None:
    with watched(mysql_home, tmp_path, ACCEPTED) as each:
        each.wait_for(delivering=1)
        for grant in GRANTS:
            each.stack.query(grant.replace("GRANT", "REVOKE").replace(" TO ", " FROM "))
        lacking = check(each.stack)
        mending = [
            line.partition("rights: ")[2] for line in lacking.stdout.splitlines() if "rights: " in line
        ]
        mending += [
            line.partition(" deliver: ")[2] for line in lacking.stdout.splitlines() if " deliver: " in line
        ]
        mending += re.findall(r"no schema lambda_udf: (.+)", lacking.stdout)
        for grant in mending:
            each.stack.query(grant)
        each.restart_sidecar()
        each.wait_for(delivering=1)
        mended = check(each.stack)
    assert lacking.returncode == 1
    assert sorted(mending) == sorted(GRANTS)
    assert "FAIL" not in mended.stdout
    assert "WARN" not in mended.stdout


def test_check_says_what_else_keeps_rows_from_being_delivered(mysql_home: Path, tmp_path: Path) -> None:
    with watched(mysql_home, tmp_path, ACCEPTED) as each:
        each.wait_for(delivering=1)
        each.stack.sidecar.stop()
        nobody = check(each.stack)
        each.stack.query("SET GLOBAL super_read_only = ON")
        replica = check(each.stack)
        each.stack.query("SET GLOBAL read_only = OFF")
        each.stack.query("DELETE FROM lambda_udf.schema_version")
        older = check(each.stack)
        each.stack.query("ALTER USER lambda_outbox@localhost IDENTIFIED BY 'x'")
        refused = check(each.stack)
        each.stack.query("ALTER USER lambda_outbox@localhost IDENTIFIED BY ''")
        each.stack.query("DROP DATABASE lambda_udf")
        bare = check(each.stack)
        each.stack.mysqld.stop()
        gone = check(each.stack)
    where = mysql_socket(tmp_path)
    assert "FAIL  outbox: nobody delivers; is the sidecar running?" in nobody.stdout
    assert (
        "WARN  outbox: the server is read-only: from here nothing is delivered until that changes"
        in replica.stdout
    )
    assert "ok    outbox: the account has the rights to read that delivery needs" in replica.stdout
    assert "FAIL" not in replica.stdout
    needed = f"and version {schema.VERSION} is needed: run lambda-sidecar install"
    assert f"FAIL  outbox: there is no schema lambda_udf, {needed}" in older.stdout
    assert f"FAIL  outbox: {where}: Access denied for user 'lambda_outbox'@'localhost'" in refused.stdout
    assert "; is there an account 'lambda_outbox', with the password of password_file? " in refused.stdout
    assert f"there is no schema lambda_udf, {needed}" in bare.stdout
    assert f"FAIL  outbox: {where}: " in gone.stdout
    assert gone.stdout.endswith("; is mysqld running there?")


def test_check_waits_for_a_sidecar_that_is_about_to_be_elected(
    mysql_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[int | None] = []
    lines: list[str] = []
    ask = election.holder

    async def holder(session: Session) -> int | None:
        answers.append(await ask(session))
        return answers[-1]

    async def look() -> None:
        settings = OutboxSettings(mysql_socket=mysql_socket(tmp_path), user=ACCOUNT_NAME)
        looking = asyncio.create_task(
            look_at_outbox(settings, Report(lines.append), patience=ELECTED_SECONDS)
        )
        candidate = await connect(settings)
        try:
            await until(lambda: bool(answers), what="the first look")
            assert await election.take_lock(candidate)
            await looking
        finally:
            await candidate.close()

    with watched(mysql_home, tmp_path, ACCEPTED) as each:
        each.stack.sidecar.stop()
        monkeypatch.setattr(election, "holder", holder)
        asyncio.run(look())
    assert answers[0] is None
    assert answers[-1] is not None
    assert lines[-1] == f"ok    outbox: the server's connection {answers[-1]} delivers"


def test_the_schema_that_the_sidecar_needs_is_the_one_that_is_installed() -> None:
    script = (ROOT / "udf/sql/install.sql").read_text()
    (version,) = re.findall(r"schema_version \(version\) VALUES \((\d+)\)", script)
    assert int(version) == schema.VERSION
