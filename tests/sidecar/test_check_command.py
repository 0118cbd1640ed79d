"""`lambda-sidecar check`: what it prints, and what its exit status says.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import getpass
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.support.account import ACCOUNT_ID, ARN, REGION, ROLE
from tests.support.aws_sidecar import BASE_KEY, AwsSidecar, aws_sidecar, variables
from tests.support.contract_server import Echo, serve
from tests.support.invoker_client import open_stream
from tests.support.lambda_endpoint import says
from tests.support.stack import local_config
from tests.support.sts_endpoint import sts_endpoint

from lambda_sidecar.check.report import Report
from lambda_sidecar.process.socket_check import look_at_rights
from lambda_sidecar.testing.ports import free_port
from lambda_sidecar.testing.sidecar import SidecarProcess, toml_text
from lambda_sidecar.version import version

# Whether there is an account mysql.
OF_THIS_MACHINE = "WARN  group: the account mysql is not in "
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
    lines = [line for line in done.stdout.splitlines() if not line.startswith(OF_THIS_MACHINE)]
    assert lines == [
        f"ok    configuration: {aws.sidecar.config_file}",
        f"ok    socket: {socket} answers: serving",
        f"ok    sidecar: version {version()}, configuration: {aws.sidecar.config_file}",
        f"ok    socket: belongs to {me}, group {group}, mode 0660; its folder belongs to {me}, group {group}, mode 0700",
        f"ok    group: nobody but mysql, root and the sidecar is in {group}",
        f"ok    region: {REGION}; Lambda is at {aws.endpoint.url}",
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
    assert (done.returncode, aws.endpoint.paths) == (0, [])


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ((403, "AccessDenied", "no trust"), "FAIL  credentials: Lambda API returned error: AccessDenied: no trust; next: give the service credentials that AWS accepts"),
        (None, "FAIL  dry run: Lambda API returned error: AccessDeniedException: not yours; next: let the identity above invoke it: lambda:InvokeFunction (docs/access.md)"),
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
            f"FAIL  role: AccessDenied: no role rule gives account 'other'@'%' a role for {ARN}orders-new; next: correct"
            in done.stdout
        )
        assert (done.returncode, aws.endpoint.paths, aws.sts.requests) == (1, [], [])


def test_a_sidecar_that_does_not_run_is_said_and_what_follows_is_not_taken_for_its_own(
    aws: AwsSidecar,
) -> None:
    aws.sidecar.stop()
    done = check_beside(aws)
    lines = done.stdout.splitlines()
    assert (
        f"FAIL  socket: {aws.sidecar.socket}: is not there, or in a folder that this account may not enter; "
        "is the sidecar running?; next: start the sidecar (systemctl start lambda-sidecar), or name its socket "
        "with --socket"
    ) in lines
    assert (
        "WARN  sidecar: it was not asked: what follows holds for this command, with its own account and environment"
        in lines
    )
    assert "ok    credentials: this command is arn:aws:iam::123456789012:user/sidecar" in lines
    aws.sidecar.start()
    aws.sidecar.kill()
    killed = check_beside(aws)
    assert f"FAIL  socket: {aws.sidecar.socket}: does not answer: " in killed.stdout
    assert (done.returncode, killed.returncode) == (1, 1)


# ---- whose credentials, environment and configuration ----

# Of the command: nothing in it is the service's.
OTHER_SHELL = {
    "AWS_ACCESS_KEY_ID": "",
    "AWS_SECRET_ACCESS_KEY": "",
    "AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:1",
    "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1",
    "AWS_REGION": "eu-north-1",
}


def test_it_is_the_running_sidecar_that_looks_and_not_the_shell_that_asks(tmp_path: Path) -> None:
    with aws_sidecar(tmp_path, DRY) as aws:
        done = check(aws.sidecar.config_file, "--function", "f", environment=OTHER_SHELL)
    lines = done.stdout.splitlines()
    assert "ok    credentials: the sidecar is arn:aws:iam::123456789012:user/sidecar" in lines
    assert f"ok    dry run: Lambda would invoke {ARN}f (status 204)" in lines
    assert (done.returncode, aws.signed_by()) == (0, [BASE_KEY])


def test_credentials_that_the_service_lacks_are_missing_whatever_the_shell_has(tmp_path: Path) -> None:
    shell = variables(tmp_path, "http://127.0.0.1:1", "http://127.0.0.1:1")
    service = {**shell, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    with SidecarProcess(tmp_path, {"region": REGION}, environment=service) as sidecar:
        done = check(sidecar.config_file, environment=shell)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert line == (
        "FAIL  credentials: Lambda API returned error: Missing Credentials: Cannot instantiate Lambda Client; "
        "next: give the service credentials (an instance profile, or /etc/credstore/lambda-sidecar.aws: "
        "docs/systemd.md) and restart it"
    )
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("settings", "begins", "says"),
    [
        ({"aws_default_lambda_role": ROLE + "one"}, "FAIL", ""),
        ({}, "WARN", "; calls do not need it while there are no roles"),
    ],
)
def test_sts_out_of_reach_is_named_with_endpoint_region_reason_and_next_step(
    tmp_path: Path, settings: dict[str, str], begins: str, says: str
) -> None:
    sts = f"http://127.0.0.1:{free_port()}"
    with aws_sidecar(tmp_path, DRY, sts_url=sts, **settings) as aws:
        done = check_beside(aws)
    (line,) = [line for line in done.stdout.splitlines() if "STS" in line]
    assert line.startswith(
        f"{begins}  credentials: found, but STS is out of reach: STS at {sts} ({REGION}): Connect"
    )
    assert f"{says}; next: look at DNS, routes, security groups and the proxy" in line
    assert "(AWS_ENDPOINT_URL_STS)" in line
    assert done.returncode == (1 if begins == "FAIL" else 0)


def test_an_endpoint_out_of_reach_is_named_with_its_reason(tmp_path: Path) -> None:
    with sts_endpoint() as sts:
        environment = variables(tmp_path, "https://lambda.invalid", sts.url)
        with SidecarProcess(
            tmp_path, {"region": REGION, "account_id": ACCOUNT_ID}, environment=environment
        ) as sidecar:
            done = check(sidecar.config_file, "--function", "f")
    assert f"ok    region: {REGION}; Lambda is at https://lambda.invalid" in done.stdout.splitlines()
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert re.fullmatch(
        r"FAIL  dry run: .*Unable to connect to endpoint \(DNS: .+ \(lambda\.invalid\)\); next: look at DNS, .*",
        line,
    )


@pytest.mark.parametrize("proxy", ["http://me:canary@proxy.invalid:3128", "me:canary@proxy.invalid:3128"])
def test_endpoint_and_proxy_are_named_without_the_password_in_their_urls(tmp_path: Path, proxy: str) -> None:
    with sts_endpoint() as sts:
        environment = variables(tmp_path, "http://me:canary@lambda.invalid:81", sts.url)
        environment |= {"HTTP_PROXY": proxy, "NO_PROXY": "127.0.0.1"}
        with SidecarProcess(tmp_path, {"region": REGION}, environment=environment) as sidecar:
            done = check(sidecar.config_file, environment=OTHER_SHELL)
    line = (
        f"ok    region: {REGION}; Lambda is at http://lambda.invalid:81, through the proxy proxy.invalid:3128"
    )
    assert line in done.stdout.splitlines()
    assert "canary" not in done.stdout


def test_the_socket_can_be_named_and_another_configuration_than_the_sidecars_is_noticed(
    aws: AwsSidecar, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text("")
    done = check(other, "--socket", str(aws.sidecar.socket))
    assert (
        f"WARN  configuration: the sidecar has not read {other}, but {aws.sidecar.config_file}"
        in done.stdout.splitlines()
    )
    assert "ok    credentials: the sidecar is arn:aws:iam::123456789012:user/sidecar" in done.stdout
    assert done.returncode == 0


def test_a_sidecar_that_has_not_read_the_outbox_of_the_configuration_is_noticed(aws: AwsSidecar) -> None:
    with aws.sidecar.config_file.open("a") as config:
        config.write("\n[outbox]\nmysql_socket = '/nowhere'\n")
    done = check_beside(aws)
    line = "WARN  outbox: the sidecar runs without [outbox]; next: restart it: a reload does not turn it on"
    assert line in done.stdout.splitlines()
    assert done.returncode == 0


def test_a_sidecar_of_an_older_release_is_told_from_one_that_does_not_run(tmp_path: Path) -> None:
    config = tmp_path / "sidecar.toml"
    config.write_text(toml_text({"socket": str(tmp_path / "s"), **local_config(free_port())}))
    with serve(Echo(), tmp_path / "s"):  # it knows the first service alone
        done = check(config)
    assert (
        f"FAIL  sidecar: the one on {tmp_path / 's'} is of an older release than this command; next: restart it"
        in done.stdout
    )
    assert done.returncode == 1


def test_an_account_mysql_outside_the_sockets_group_is_a_warning_with_the_next_step(
    aws: AwsSidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lambda_sidecar.process.socket_check.MYSQL_USER", "nobody")
    lines: list[str] = []
    look_at_rights(aws.sidecar.socket, Report(lines.append))
    group = aws.sidecar.socket.group()
    assert (
        f"WARN  group: the account nobody is not in {group}: if mysqld runs as nobody, it cannot connect; next: "
        f"run the sidecar in mysqld's group (Group= in its unit), or put nobody into {group}"
    ) in lines


def test_options_of_the_mysql_server_want_the_option_mysql(aws: AwsSidecar) -> None:
    done = check_beside(aws, "--user", "root")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "lambda-sidecar: options of the MySQL server are for check --mysql\n"


def test_a_server_that_cannot_be_reached_is_a_failure_of_its_step(aws: AwsSidecar, tmp_path: Path) -> None:
    done = check_beside(aws, "--mysql", "--no-defaults", "--mysql-socket", str(tmp_path / "no.sock"))
    assert f"FAIL  mysql: no connection to MySQL at {tmp_path}/no.sock as root: " in done.stdout
    assert "ok    credentials: " in done.stdout
    assert done.returncode == 1


def test_a_socket_that_everyone_can_open_is_a_failure(aws: AwsSidecar) -> None:
    aws.sidecar.socket.chmod(0o666)
    aws.sidecar.directory.chmod(0o755)
    done = check_beside(aws)
    assert (
        "FAIL  socket: every account of this machine can connect and claim any MySQL account; next: take the "
        "rights of others" in done.stdout
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
    assert f"FAIL  credentials: {missing}; next: give the service credentials" in done.stdout
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
