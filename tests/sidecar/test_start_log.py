"""The first lines of the sidecar's log, and the priorities that the journal reads in all of them.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.support.account import REGION, ROLE
from tests.support.aws_sidecar import OK, AwsSidecar, aws_sidecar, variables
from tests.support.invoker_client import open_stream
from tests.support.lambda_endpoint import lambda_endpoint
from tests.support.stack import local_config
from tests.support.sts_endpoint import sts_endpoint
from tests.support.waiting import wait_until

from lambda_sidecar.testing.ports import free_port
from lambda_sidecar.testing.sidecar import SidecarProcess, toml_text
from lambda_sidecar.version import version


def messages(sidecar: SidecarProcess) -> list[str]:
    """Levels and texts, without times and loggers."""
    found = re.findall(r"^\S+ \S+ ([A-Z]+) [\w.]+: (.*)$", sidecar.log_text(), re.MULTILINE)
    return [f"{level} {text}" for level, text in found]


def test_the_first_lines_say_version_configuration_region_and_whom_it_is_at_aws(aws: AwsSidecar) -> None:
    sidecar = aws.sidecar
    who = "INFO at AWS the sidecar is arn:aws:iam::123456789012:user/sidecar"
    wait_until(lambda: who in messages(sidecar), what=who)
    first, second, *_ = messages(sidecar)
    assert first == f"INFO lambda-sidecar {version()}, configuration: {sidecar.config_file}"
    assert second == f"INFO region: {REGION}"


def test_without_credentials_the_log_says_so_before_any_call(tmp_path: Path) -> None:
    environment = variables(tmp_path, "http://127.0.0.1:1", "http://127.0.0.1:1")
    environment |= {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    with SidecarProcess(tmp_path, {}, environment=environment) as sidecar:
        wait_until(
            lambda: any(line.startswith("WARNING no credentials found: ") for line in messages(sidecar)),
            what="the line",
        )
        assert "INFO region: none; functions must be named by ARNs that have one" in messages(sidecar)


def test_an_sts_that_never_answers_keeps_no_start_up_and_no_call(tmp_path: Path) -> None:
    gate = threading.Event()
    with lambda_endpoint(lambda handler: void(gate.wait(60))) as silent:
        try:
            with aws_sidecar(tmp_path, sts_url=silent.url) as aws:
                wait_until(lambda: silent.paths, what="the question")
                assert aws.stream.ask("f").result.payload == b'"done"'
        finally:
            gate.set()


def void(_: object) -> None:
    """Answers nothing."""


def test_an_sts_out_of_reach_is_a_line_with_its_reason(tmp_path: Path) -> None:
    sts = f"http://127.0.0.1:{free_port()}"
    with aws_sidecar(tmp_path, sts_url=sts) as aws:
        line = f"WARNING who the sidecar is at AWS is not known: STS at {sts} ({REGION}): Connect"
        wait_until(lambda: any(each.startswith(line) for each in messages(aws.sidecar)), what=line)


def test_aws_is_not_asked_about_the_keys_of_an_emulator(tmp_path: Path) -> None:
    with lambda_endpoint(OK) as endpoint:
        environment = variables(tmp_path, endpoint.url, "")
        del environment["AWS_ENDPOINT_URL_STS"]
        with SidecarProcess(tmp_path, {"region": REGION}, environment=environment) as sidecar:
            line = "INFO credentials found; AWS_ENDPOINT_URL_LAMBDA is not AWS, which is not asked whose they are"
            wait_until(lambda: line in messages(sidecar), what=line)


# ---- the journal ----


@pytest.mark.parametrize(("log_format", "begin"), [("text", r"\S+ \S+ "), ("json", r"\{")])
def test_where_the_journal_reads_it_each_line_begins_with_its_priority(
    tmp_path: Path, log_format: str, begin: str
) -> None:
    reading, writing = os.pipe()
    status = os.fstat(writing)
    settings = {"socket": str(tmp_path / "s"), "log_format": log_format, **local_config(free_port())}
    config = tmp_path / "sidecar.toml"
    config.write_text(toml_text(settings))
    command = [sys.executable, "-m", "lambda_sidecar.cli", "serve", "--config", str(config)]
    environment = {**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
    with subprocess.Popen(command, stderr=writing, env=environment) as process:
        os.close(writing)
        try:
            wait_until((tmp_path / "s").exists, what="the socket")
            with open_stream(tmp_path / "s") as stream:
                assert stream.error("no/name")
        finally:
            process.terminate()
            process.wait(20)
        with os.fdopen(reading) as log:
            lines = log.read().splitlines()
    assert all(re.match(rf"<[46]>{begin}", line) for line in lines), lines
    (failed,) = [line for line in lines if "call failed" in line]
    assert failed.startswith("<4>")
    assert lines[0].startswith("<6>")


def test_elsewhere_no_line_does(aws: AwsSidecar) -> None:
    assert aws.stream.error("no/name")
    aws.sidecar.stop()
    assert not re.search(r"^<\d>", aws.sidecar.log_text(), re.MULTILINE)


def serve_for_the_journal(config: Path) -> tuple[int, str]:
    """Of a sidecar that cannot start: its status, and its log."""
    reading, writing = os.pipe()
    status = os.fstat(writing)
    done = subprocess.run(
        [sys.executable, "-m", "lambda_sidecar.cli", "serve", "--config", str(config)],
        stderr=writing,
        env={**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"},
        timeout=60,
        check=False,
    )
    os.close(writing)
    with os.fdopen(reading) as log:
        return done.returncode, log.read()


def test_a_wrong_configuration_is_an_error_to_the_journal(tmp_path: Path) -> None:
    config = tmp_path / "sidecar.toml"
    config.write_text("colour = 'red'")
    status, log = serve_for_the_journal(config)
    assert log.startswith(f"<3>lambda-sidecar: {config}: unknown key 'colour'")
    assert status == 2


def test_a_start_that_fails_later_is_one_too(aws: AwsSidecar) -> None:
    status, log = serve_for_the_journal(aws.sidecar.config_file)
    assert log.splitlines()[-1].startswith("<3>lambda-sidecar: another sidecar serves ")
    assert status == 1


# ---- why there is no connection ----


@pytest.mark.parametrize(
    ("url", "more", "reason"),
    [
        ("https://lambda.invalid", {}, r'"DNS: .+ \(lambda\.invalid\)"'),
        ("http://127.0.0.1:{free}", {}, r'"TCP: Connection refused \(127\.0\.0\.1:\d+\)"'),
        ("https://127.0.0.1:{plain}", {}, r'"TLS: wrong version number \(127\.0\.0\.1:\d+\)"'),
        ("https://lambda.invalid", {"HTTPS_PROXY": "http://me:canary@127.0.0.1:{plain}"}, r'"The proxy answered 501 \(lambda\.invalid through the proxy 127\.0\.0\.1:\d+\)"'),
    ],
    ids=["DNS", "TCP", "TLS", "proxy"],
)  # fmt: skip
def test_the_log_says_why_the_endpoint_could_not_be_reached(
    tmp_path: Path, url: str, more: dict[str, str], reason: str
) -> None:
    with lambda_endpoint(OK) as plain, sts_endpoint() as sts:
        ports = {"free": free_port(), "plain": plain.url.rpartition(":")[2]}
        environment = variables(tmp_path, url.format(**ports), sts.url)
        environment |= {name: value.format(**ports) for name, value in more.items()}
        environment["NO_PROXY"] = "127.0.0.1"
        config = {"region": REGION, "account_id": "123456789012"}
        with SidecarProcess(tmp_path, config, environment=environment) as sidecar:
            with open_stream(sidecar.socket) as stream:
                assert stream.error("f").endswith("Unable to connect to endpoint")
            wait_until(lambda: sidecar.log_contains("call failed"), what="the line")
            log = sidecar.log_text()
    assert re.search(
        rf"WARNING lambda_sidecar\.call: call failed: .* outcome=network .* reason={reason}$",
        log,
        re.MULTILINE,
    )
    assert "canary@" not in log


def test_the_log_says_why_sts_could_not_be_reached(tmp_path: Path) -> None:
    sts = f"http://127.0.0.1:{free_port()}"
    with aws_sidecar(tmp_path, sts_url=sts, aws_default_lambda_role=ROLE + "one") as aws:
        assert aws.stream.error("f").endswith("Unable to connect to endpoint")
        aws.sidecar.stop()
        log = aws.sidecar.log_text()
    assert re.search(rf"call failed: .* reason=\"STS at {re.escape(sts)} \({REGION}\): Connect", log)
