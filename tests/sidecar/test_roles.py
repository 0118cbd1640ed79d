"""Roles and rules in a running sidecar: which identity signs a call, and what never leaves it.

Lambda is a scripted server; STS is one too, and moto's. Each test's name is the sentence that it proves."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
from tests.support.account import ARN, ROLE
from tests.support.aws_sidecar import BASE_KEY, BASE_SECRET, AwsSidecar, aws_sidecar
from tests.support.invoker_client import open_stream
from tests.support.sts_endpoint import SECRET, TOKEN, key
from tests.support.waiting import wait_until

from lambda_udf.v1 import invoker_pb2

RULES = [
    {"account": "app@*", "function": "orders-*", "role": ROLE + "orders"},
    {"account": "app@*", "role": ROLE + "app"},
]
APP = invoker_pb2.Caller(user="app", host="%", connection_id=7)
OTHER = invoker_pb2.Caller(user="other", host="localhost", connection_id=8)
AS_MISSING = "Lambda API returned error: Missing Credentials: Cannot instantiate Lambda Client"


def as_role(role: str) -> str:
    """lambda_invoke's options."""
    return json.dumps({"role": role})


def test_each_call_is_signed_as_the_role_that_its_rule_gives(tmp_path: Path) -> None:
    with aws_sidecar(tmp_path, aws_default_lambda_role=ROLE + "default", role_rules=RULES) as aws:
        for function, caller in (("orders-new", APP), ("else", APP), ("else", OTHER), ("orders-old", APP)):
            aws.stream.ask(function, caller=caller)
        assert [(request["RoleArn"], request["RoleSessionName"]) for request in aws.sts.requests] == [
            (ROLE + "orders", "app@=25"),
            (ROLE + "app", "app@=25"),
            (ROLE + "default", "other@localhost"),
        ]
        assert aws.signed_by() == [key(1), key(2), key(3), key(1)]
        tokens = [headers["x-amz-security-token"] for headers in aws.endpoint.headers]
        assert tokens == [f"{TOKEN}-{n}" for n in (1, 2, 3, 1)]


def test_motos_sts_says_that_the_call_is_signed_by_the_assumed_role_of_the_account(
    tmp_path: Path, moto_url: str
) -> None:
    with aws_sidecar(tmp_path, sts_url=moto_url, role_rules=RULES) as aws:
        assert aws.stream.ask("orders-new").result.payload == b'"done"'
        (signed_with,) = aws.signed_by()
    client = boto3.client(
        "sts",
        region_name="us-east-1",
        endpoint_url=moto_url,
        aws_access_key_id=signed_with,
        aws_secret_access_key="moto does not look at it",
    )
    assert client.get_caller_identity()["Arn"] == "arn:aws:sts::123456789012:assumed-role/orders/app@=25"
    client.close()


def test_200_calls_at_once_make_one_assume_role(tmp_path: Path) -> None:
    with aws_sidecar(tmp_path, aws_default_lambda_role=ROLE + "default") as aws:
        aws.sts.gate.clear()
        for _ in range(200):
            aws.stream.send("Echo")
        wait_until(lambda: aws.sts.requests, what="the first call at STS")
        aws.sts.gate.set()
        results = [aws.stream.receive().result.payload for _ in range(200)]
        assert results == [b'"done"'] * 200
        assert (len(aws.sts.requests), set(aws.signed_by())) == (1, {key(1)})


def test_a_role_in_the_options_is_used_if_a_rule_gives_it(tmp_path: Path) -> None:
    with aws_sidecar(tmp_path, role_rules=RULES) as aws:
        assert aws.stream.ask("orders-new", options_json=as_role(ROLE + "app")).result.status_code == 200
        assert [request["RoleArn"] for request in aws.sts.requests] == [ROLE + "app"]


def test_a_role_that_no_rule_gives_is_refused_before_sts_is_asked(tmp_path: Path) -> None:
    associated = [ROLE + "orders", ROLE + "app", ROLE + "spare"]
    with aws_sidecar(tmp_path, associated_roles=associated, role_rules=RULES) as aws:
        for role in ("orders", "spare", "outside"):
            answer = aws.stream.ask("else", options_json=as_role(ROLE + role))
            assert answer.error.kind == invoker_pb2.ERROR_KIND_DENIED
            assert answer.error.message == (
                f"AccessDenied: account 'app'@'%' may not use the role {ROLE}{role} for {ARN}else"
            )
        assert (aws.sts.requests, aws.endpoint.paths) == ([], [])


def test_an_account_outside_allow_is_refused_and_nothing_is_sent(tmp_path: Path) -> None:
    allow = [{"account": "app@*", "function": "orders"}]
    with aws_sidecar(tmp_path, aws_default_lambda_role=ROLE + "default", allow=allow) as aws:
        for function, caller, account in (
            ("else", APP, "'app'@'%'"),
            ("orders", OTHER, "'other'@'localhost'"),
        ):
            answer = aws.stream.ask(function, caller=caller)
            assert answer.error.kind == invoker_pb2.ERROR_KIND_DENIED
            assert answer.error.message == f"AccessDenied: account {account} may not invoke {ARN}{function}"
        assert (aws.sts.requests, aws.endpoint.paths) == ([], [])
        assert aws.stream.ask("orders").result.status_code == 200


def test_without_roles_the_sidecars_own_credentials_sign(aws: AwsSidecar) -> None:
    aws.stream.ask("Echo")
    assert (aws.signed_by(), aws.sts.requests) == ([BASE_KEY], [])


def test_what_sts_refuses_is_the_users_error_and_nothing_is_sent(tmp_path: Path) -> None:
    with aws_sidecar(tmp_path, aws_default_lambda_role=ROLE + "default") as aws:
        aws.sts.error = (403, "AccessDenied", "not authorized to perform: sts:AssumeRole")
        answer = aws.stream.ask("Echo")
        assert answer.error.kind == invoker_pb2.ERROR_KIND_CREDENTIALS
        assert answer.error.message == (
            "Lambda API returned error: AccessDenied: not authorized to perform: sts:AssumeRole"
        )
        assert aws.endpoint.paths == []


def test_a_call_that_waits_for_sts_ends_with_its_own_deadline(tmp_path: Path) -> None:
    with aws_sidecar(tmp_path, aws_default_lambda_role=ROLE + "default") as aws:
        aws.sts.gate.clear()
        assert aws.stream.error("Echo", timeout_ms=200) == "timed out after 200 ms"
        aws.sts.gate.set()
        assert aws.stream.ask("Echo").result.status_code == 200
        assert len(aws.sts.requests) == 1


def test_sessions_are_renewed_while_calls_go_on(tmp_path: Path) -> None:
    with aws_sidecar(tmp_path, aws_default_lambda_role=ROLE + "default") as aws:
        aws.sts.lifetime = 120  # within the last 300 s from the start: every call asks for a new one
        done = 0

        def renewed() -> bool:
            nonlocal done
            assert aws.stream.ask("Echo").result.status_code == 200
            done += 1
            return key(5) in aws.signed_by()

        wait_until(renewed, what="calls signed with the fifth session")
        used = aws.signed_by()
        assert used == sorted(used)
        assert len(used) == done


@pytest.mark.parametrize("settings", [{}, {"aws_default_lambda_role": ROLE + "default"}], ids=["own", "role"])
def test_without_any_credentials_calls_fail_within_5_s_and_then_at_once(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, aws_sidecar(tmp_path, **settings) as aws:
        aws.sidecar.stop()
        aws.sidecar.environment |= {
            "AWS_ACCESS_KEY_ID": "",
            "AWS_SECRET_ACCESS_KEY": "",
            "AWS_EC2_METADATA_DISABLED": "false",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}/",
            "AWS_METADATA_SERVICE_TIMEOUT": "60",
        }
        with aws.sidecar, open_stream(aws.sidecar.socket) as stream:
            began = time.monotonic()
            for _ in range(20):
                stream.send("Echo")
            assert {stream.receive().error.message for _ in range(20)} == {AS_MISSING}
            assert time.monotonic() - began < 5
            again = time.monotonic()
            assert stream.error("Echo") == AS_MISSING
            assert time.monotonic() - again < 0.5
        assert (aws.sts.requests, aws.endpoint.paths) == ([], [])


WITHOUT_KEYS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}


def test_a_slow_credential_process_fails_the_calls_that_wait_and_serves_the_later_ones(
    aws: AwsSidecar,
    tmp_path: Path,
) -> None:
    document = '{"Version": 1, "AccessKeyId": "ASIASLOW", "SecretAccessKey": "s"}'
    (tmp_path / "program").write_text(f"sleep 5.5; echo '{document}'\n")
    (tmp_path / "config").write_text(f"[default]\ncredential_process = sh {tmp_path}/program\n")
    aws.sidecar.stop()
    aws.sidecar.environment |= {**WITHOUT_KEYS, "AWS_CONFIG_FILE": str(tmp_path / "config")}
    with aws.sidecar, open_stream(aws.sidecar.socket) as stream:
        reading = f"{AS_MISSING}: they are still being read; later calls will find them"
        assert stream.error("Echo") == reading
        assert stream.ask("Echo").result.payload == b'"done"'
    assert aws.signed_by() == ["ASIASLOW"]


def test_a_refused_web_identity_is_the_users_error_and_the_checks(aws: AwsSidecar, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("canary-web-identity-token")
    identity = {"AWS_ROLE_ARN": ROLE + "pod", "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token")}
    aws.sidecar.stop()
    aws.sidecar.environment |= {**WITHOUT_KEYS, **identity}
    aws.sts.error = (400, "ExpiredTokenException", "Token expired")
    with aws.sidecar, open_stream(aws.sidecar.socket) as stream:
        said = {stream.error("Echo") for _ in range(10)}
        assert said == {f"{AS_MISSING}: ExpiredTokenException: Token expired"}
        assert len(aws.sts.requests) == 1
        command = [sys.executable, "-m", "lambda_sidecar.cli", "check", "--function", "Echo", "--config"]
        variables = {**os.environ, **aws.sidecar.environment}
        done = subprocess.run(
            [*command, aws.sidecar.config_file],
            env={name: value for name, value in variables.items() if value is not None},
            capture_output=True,
            text=True,
            check=False,
        )
    log = aws.sidecar.log_text()
    (words,) = said
    assert f"FAIL  credentials: {words}; next: give the service credentials" in done.stdout
    assert f"FAIL  dry run: {words}" in done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (1, "")
    assert "canary" not in log


def test_the_log_holds_no_secret_no_token_and_no_payload(tmp_path: Path) -> None:
    settings = {"aws_default_lambda_role": ROLE + "default", "external_id": "canary-external-id"}
    with aws_sidecar(tmp_path, **settings) as aws:
        assert aws.stream.ask("Echo", b'"canary-payload"').result.status_code == 200
        aws.stream.ask("Echo", b'"canary-payload')
        aws.stream.ask("Echo", options_json=as_role("canary-role"))
        aws.sts.error = (403, "AccessDenied", "refused")
        aws.stream.ask("Echo", b'"canary-payload"', caller=OTHER)
        aws.sidecar.stop()
        assert aws.sidecar.log_contains(f"role assumed: account='app'@'%' role={ROLE}default")
        assert aws.sidecar.log_contains("role not assumed: account='other'@'localhost' role=")
        text = aws.sidecar.log_text()
    planted = (SECRET, TOKEN, BASE_SECRET, "canary")
    assert [canary for canary in planted if canary in text] == []
