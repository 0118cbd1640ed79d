"""`lambda-sidecar check`: what it prints, and what its exit status says.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.support.account import ACCOUNT_ID, ARN, REGION, ROLE
from tests.support.aws_sidecar import AwsSidecar, aws_sidecar, variables
from tests.support.invoker_client import open_stream
from tests.support.lambda_endpoint import says

from lambda_sidecar.testing.sidecar import SidecarProcess, toml_text

RULES = [{"account": "app@*", "function": "orders-*", "role": ROLE + "orders"}]
DRY = says(204)


def check(
    config: Path, *arguments: str, environment: Mapping[str, str | None] | None = None
) -> subprocess.CompletedProcess[str]:
    complete = {**os.environ, **(environment or {})}
    return subprocess.run(
        [sys.executable, "-m", "lambda_sidecar.cli", "check", "--config", str(config), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={name: value for name, value in complete.items() if value is not None},
    )


def check_beside(aws: AwsSidecar, *arguments: str) -> subprocess.CompletedProcess[str]:
    return check(aws.sidecar.config_file, *arguments, environment=aws.sidecar.environment)


def test_all_good_is_said_step_by_step_with_status_0(tmp_path: Path) -> None:
    with aws_sidecar(tmp_path, DRY, role_rules=RULES, allow=[{"account": "*@*"}]) as aws:
        done = check_beside(aws, "--function", "orders-new:live", "--as", "'app'@'%'")
        socket = aws.sidecar.socket
    me, group = getpass.getuser(), socket.parent.group()
    assert done.stdout.splitlines() == [
        f"ok    configuration: {aws.sidecar.config_file}",
        f"ok    socket: {socket} answers: serving",
        f"ok    socket: belongs to {me}, group {group}, mode 0660; its folder belongs to {me}, group {group}, mode 0700",
        f"ok    group: nobody but mysql, root and the sidecar is in {group}",
        "ok    credentials: the sidecar is arn:aws:iam::123456789012:user/sidecar",
        f"ok    allow: account 'app'@'%' may invoke {ARN}orders-new:live: allow 1 (account = '*@*', function = '*')",
        f"ok    role: {ROLE}orders: role_rules 1 (account = 'app@*', function = 'orders-*')",
        "ok    assume role: the call is signed by arn:aws:sts::123456789012:assumed-role/orders/app@=25",
        f"ok    dry run: Lambda would invoke {ARN}orders-new:live (status 204)",
    ]
    assert (done.returncode, done.stderr) == (0, "")
    (headers,) = aws.endpoint.headers
    assert headers["x-amz-invocation-type"] == "DryRun"


def test_without_a_function_the_role_is_not_looked_at(aws: AwsSidecar) -> None:
    done = check_beside(aws)
    assert "-     role: not looked at: name a function with --function" in done.stdout
    assert (done.returncode, aws.endpoint.paths, aws.sts.callers) == (0, [], 1)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ((403, "AccessDenied", "no trust"), "FAIL  credentials: Lambda API returned error: AccessDenied: no trust"),
        (None, "FAIL  dry run: Lambda API returned error: AccessDeniedException: not yours"),
    ],
)  # fmt: skip
def test_what_aws_refuses_is_said_and_the_status_is_1(
    tmp_path: Path, error: tuple[int, str, str] | None, line: str
) -> None:
    refused = says(403, b'{"Message": "not yours"}', x_amzn_ErrorType="AccessDeniedException")
    with aws_sidecar(tmp_path, refused, aws_default_lambda_role=ROLE + "one") as aws:
        aws.sts.error = error
        done = check_beside(aws, "--function", "x", "--as", "app@%")
    assert line in done.stdout.splitlines()
    assert done.returncode == 1


def test_a_refused_account_is_said_and_nothing_is_sent(tmp_path: Path) -> None:
    with aws_sidecar(tmp_path, role_rules=RULES) as aws:
        done = check_beside(aws, "--function", "orders-new", "--as", "other@%")
        assert (
            f"FAIL  role: AccessDenied: no role rule gives account 'other'@'%' a role for {ARN}orders-new"
            in done.stdout.splitlines()
        )
        assert (done.returncode, aws.endpoint.paths, aws.sts.requests) == (1, [], [])


def test_a_sidecar_that_does_not_run_is_said(aws: AwsSidecar) -> None:
    aws.sidecar.stop()
    done = check_beside(aws)
    assert (
        f"FAIL  socket: {aws.sidecar.socket}: No such file or directory; is the sidecar running?"
        in done.stdout
    )
    aws.sidecar.start()
    aws.sidecar.kill()
    killed = check_beside(aws)
    assert f"FAIL  socket: {aws.sidecar.socket}: does not answer: " in killed.stdout
    assert (done.returncode, killed.returncode) == (1, 1)


def test_a_socket_that_everyone_can_open_is_a_failure(aws: AwsSidecar) -> None:
    aws.sidecar.socket.chmod(0o666)
    aws.sidecar.directory.chmod(0o755)
    done = check_beside(aws)
    assert (
        "FAIL  socket: every account of this machine can connect and claim any MySQL account" in done.stdout
    )
    assert done.returncode == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give the socket to another group")
def test_members_of_the_sockets_group_besides_mysql_are_a_warning(aws: AwsSidecar) -> None:
    os.chown(aws.sidecar.socket, 0, 1)  # daemon's own group
    done = check_beside(aws)
    assert "WARN  group: daemon has members besides mysql, who can connect too: daemon" in done.stdout
    assert done.returncode == 0


def test_without_credentials_the_step_says_so(tmp_path: Path) -> None:
    environment = variables(tmp_path, "http://127.0.0.1:1", "http://127.0.0.1:1")
    environment |= {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    config = tmp_path / "sidecar.toml"
    config.write_text(toml_text({"socket": "s", "region": REGION, "account_id": ACCOUNT_ID}))
    done = check(config, "--function", "x", environment=environment)
    missing = "Lambda API returned error: Missing Credentials: Cannot instantiate Lambda Client"
    assert f"FAIL  credentials: {missing}" in done.stdout.splitlines()
    assert f"FAIL  dry run: {missing}" in done.stdout.splitlines()
    assert done.returncode == 1


def test_a_local_lambda_needs_no_credentials(sidecar: SidecarProcess) -> None:
    done = check(sidecar.config_file, "--function", "Echo")
    with open_stream(sidecar.socket) as stream:
        assert stream.ask("Echo", b"1").result.payload == b"1"
    assert "-     credentials: none are needed: [local] answers every call on this machine" in done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("colour = 'red'", (), "FAIL  configuration: {path}: unknown key 'colour'; known are "),
        ("[[allow]]\naccount = 'a@b'\nfunction = 'x'", (), "FAIL  configuration: allow 1: function: a rule that names functions needs account_id"),
        ("", ("--as", "app"), "argument --as: user@host is expected, as in app@% or 'app'@'%'"),
    ],
)  # fmt: skip
def test_a_wrong_configuration_or_usage_is_named_with_status_2(
    tmp_path: Path, text: str, arguments: tuple[str, ...], said: str
) -> None:
    path = tmp_path / "sidecar.toml"
    path.write_text(text)
    done = check(path, *arguments)
    assert said.format(path=path) in done.stdout + done.stderr
    assert done.returncode == 2
