"""The log: one line per call, as text or JSON, and nothing in it that does not belong there.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.support.account import ARN, ROLE
from tests.support.aws_sidecar import BASE_SECRET, OK, AwsSidecar, aws_sidecar
from tests.support.invoker_client import open_stream
from tests.support.lambda_endpoint import says
from tests.support.stack import CANARY
from tests.support.sts_endpoint import SECRET, TOKEN
from tests.support.waiting import wait_until

from lambda_sidecar.testing.sidecar import toml_text
from lambda_udf.v1 import invoker_pb2

FAILED = says(
    200,
    b'{"errorType": "ValueError", "errorMessage": "%s"}' % CANARY.encode(),
    x_amz_Function_Error="Unhandled",
    x_amzn_RequestId="r-2",
)
REFUSED = says(
    400,
    b'{"message": "%s"}' % CANARY.encode(),
    x_amzn_ErrorType="InvalidParameterValueException",
    x_amzn_RequestId="r-3",
)


def lines_of(aws: AwsSidecar, logger: str = "lambda_sidecar.call") -> list[str]:
    """What was logged of calls, once the sidecar has ended: everything is written then."""
    aws.sidecar.stop()
    return [line for line in aws.sidecar.log_text().splitlines() if f" {logger}: " in line]


def objects_of(aws: AwsSidecar) -> list[dict[str, Any]]:
    """Every line of a log in JSON; none may be anything else."""
    aws.sidecar.stop()
    return [json.loads(line) for line in aws.sidecar.log_text().splitlines()]


def ask_every_way(aws: AwsSidecar) -> None:
    """A success, a function that raised, an API error, a refused payload, a refused name, a timeout."""
    for _ in range(3):
        aws.stream.ask("f:live", f'"{CANARY}"'.encode())
    aws.stream.ask("f", CANARY.encode())
    aws.stream.ask(f"{CANARY}/", b"1")


def test_a_failed_call_is_one_line_that_says_who_what_and_how_long(tmp_path: Path) -> None:
    with aws_sidecar(tmp_path, OK, FAILED, REFUSED, log_level="info") as aws:
        ask_every_way(aws)
        lines = lines_of(aws)
    times = r" ms=\d+\.\d queued_ms=0\.0"
    who = r".* WARNING lambda_sidecar\.call: call failed: account='app'@'%' connection=7 "
    live = re.escape(f"function={ARN}f:live type=RequestResponse ")
    expected = [
        live + r"outcome=function_error code=Unhandled request_id=r-2",
        live + r"outcome=api code=InvalidParameterValueException request_id=r-3",
        re.escape(f"function={ARN}f ") + r"type=- outcome=invalid code=- request_id=-",
        r"function=- type=- outcome=invalid code=- request_id=-",
    ]
    assert len(lines) == len(expected)
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(who + pattern + times, line), line


def test_at_debug_every_call_is_one_line(aws: AwsSidecar) -> None:
    for _ in range(20):
        aws.stream.ask("f")
    lines = lines_of(aws)
    assert len(lines) == 20
    answered = (
        r".* DEBUG lambda_sidecar\.call: call answered: account='app'@'%' connection=7 function="
        + re.escape(ARN)
        + r"f type=RequestResponse outcome=success code=- request_id=r-1 ms=\d+\.\d queued_ms=0\.0"
    )
    assert all(re.fullmatch(answered, line) for line in lines)


def test_a_call_whose_client_goes_is_a_line_too(tmp_path: Path) -> None:
    with aws_sidecar(tmp_path, lambda handler: None) as aws:
        with open_stream(aws.sidecar.socket) as stream:
            stream.send("f")
            wait_until(lambda: aws.endpoint.paths, what="the call at the endpoint")
        wait_until(lambda: aws.sidecar.log_contains("call cancelled: "), what="the line")
        (line,) = lines_of(aws)
    assert f"function={ARN}f type=RequestResponse outcome=cancelled " in line


def test_json_lines_parse_and_hold_the_same(tmp_path: Path) -> None:
    with aws_sidecar(tmp_path, OK, FAILED, REFUSED, log_format="json") as aws:
        ask_every_way(aws)
        objects = objects_of(aws)
    calls = [each for each in objects if each["logger"] == "lambda_sidecar.call"]
    assert len(objects) > len(calls), "the sidecar's other lines are JSON too"
    outcomes = ["success", "function_error", "api", "invalid", "invalid"]
    assert [(call["outcome"], call["message"]) for call in calls] == [
        (outcome, "call answered" if outcome == "success" else "call failed") for outcome in outcomes
    ]
    success = calls[0]
    assert success.pop("ms") >= 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", success.pop("time"))
    assert success == {
        "level": "debug",
        "logger": "lambda_sidecar.call",
        "message": "call answered",
        "account": "'app'@'%'",
        "connection": 7,
        "function": f"{ARN}f:live",
        "type": "RequestResponse",
        "outcome": "success",
        "code": None,
        "request_id": "r-1",
        "queued_ms": 0.0,
    }


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_nothing_secret_is_logged_at_debug_and_no_library_speaks(tmp_path: Path, log_format: str) -> None:
    settings: dict[str, Any] = {"aws_default_lambda_role": ROLE + "one", "log_format": log_format}
    with aws_sidecar(tmp_path, OK, FAILED, REFUSED, **settings) as aws:
        ask_every_way(aws)
        aws.sts.error = (403, "AccessDenied", "no")
        aws.stream.ask("f", caller=invoker_pb2.Caller(user="second", host="%", connection_id=1))
        aws.sidecar.stop()
        text = aws.sidecar.log_text()
    for secret in (CANARY, BASE_SECRET, SECRET, TOKEN):
        assert secret not in text
    loggers = set(re.findall(r'"logger": "(\w+)|^\S+ \S+ [A-Z]+ (\w+)[.:]', text, re.MULTILINE))
    assert {json_name or text_name for json_name, text_name in loggers} == {"lambda_sidecar"}


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_name_cannot_make_a_second_line_or_reach_a_terminal(tmp_path: Path, log_format: str) -> None:
    user = 'a\nINFO forged: failed\x1b]0;x\x07 \u202e"'
    caller = invoker_pb2.Caller(user=user, host="h\r\n", connection_id=1)
    with aws_sidecar(tmp_path, REFUSED, log_format=log_format) as aws:
        aws.stream.ask("f", caller=caller)
        aws.sidecar.stop()
        text = aws.sidecar.log_text()
    assert sum("forged" in line for line in text.splitlines()) == 1
    assert not set(text) & {"\x1b", "\x07", "\r", "\u202e"}
    if log_format == "json":
        (call,) = [json.loads(line) for line in text.splitlines() if "forged" in line]
        assert call["account"] == f"'{user}'@'h\r\n'"
    else:
        assert (
            r"""account="'a\nINFO forged: failed\u001b]0;x\u0007 \u202e\"'@'h\r\n'" connection=1 """ in text
        )


def test_a_request_id_that_is_not_known_is_a_dash_and_null(tmp_path: Path) -> None:
    nameless = says(200, b"{}", x_amz_Function_Error="Unhandled")
    with aws_sidecar(tmp_path, nameless, OK, log_level="info") as aws:
        aws.stream.ask("f")
        (line,) = lines_of(aws)
    assert " code=Unhandled request_id=- ms=" in line


def test_what_sts_says_and_the_accounts_name_are_one_line(tmp_path: Path) -> None:
    user = "a\n2026 INFO forged\x1b"
    caller = invoker_pb2.Caller(user=user, host="h\u202e", connection_id=1)
    with aws_sidecar(tmp_path, aws_default_lambda_role=ROLE + "one", log_level="info") as aws:
        aws.sts.error = (403, "AccessDenied", "no\n2026 INFO forged \x9b31m\u2028")
        text = aws.stream.error("f", caller=caller)
        lines = lines_of(aws, "lambda_sidecar.aws.role_credentials")
        log = aws.sidecar.log_text()
    assert text == r"Lambda API returned error: AccessDenied: no 2026 INFO forged \x9b31m"
    assert all(line.isprintable() for line in log.split("\n"))
    (line,) = lines
    assert r"""role not assumed: account="'a\n2026 INFO forged\u001b'@'h\u202e'" role=""" in line
    assert not any(line.startswith("2026 INFO forged") for line in log.splitlines())


def test_sighup_changes_how_the_log_is_written(aws: AwsSidecar) -> None:
    aws.sidecar.config_file.write_text(toml_text({**aws.sidecar.config, "log_format": "json"}))
    os.kill(aws.sidecar.pid, signal.SIGHUP)
    wait_until(lambda: aws.sidecar.log_contains("changed: log_format"))
    last = json.loads(aws.sidecar.log_text().splitlines()[-1])
    assert (last["level"], last["message"]) == ("info", "configuration reloaded; changed: log_format")
