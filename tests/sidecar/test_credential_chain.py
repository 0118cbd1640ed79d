"""The sidecar's own credentials over time: what the chain finds, how it fails, how it is renewed.

Programs, files and STS are real; botocore's chain is too. Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.account import REGION, ROLE
from tests.support.credential_chain import AS_MISSING, chain_before_sts, parts, web_identity
from tests.support.sts_endpoint import StsEndpoint
from tests.support.waiting import until

from lambda_sidecar.access.account import Account
from lambda_sidecar.access.rules import Role
from lambda_sidecar.aws import credentials
from lambda_sidecar.aws.configuration import AwsConfiguration
from lambda_sidecar.aws.credentials import ChainCredentials, end_tasks
from lambda_sidecar.aws.identity import log_identity
from lambda_sidecar.aws.sts import Sts
from lambda_sidecar.errors import ErrorKind, InvokeFailure


@pytest.fixture
def sts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StsEndpoint]:
    with chain_before_sts(tmp_path, monkeypatch) as endpoint:
        yield endpoint


class Program:
    """A credential_process, in sh: its n-th run prints the key of that number."""

    def __init__(self, directory: Path) -> None:
        self.runs = directory / "runs"
        self.path = directory / "program"
        (directory / "config").write_text(f"[default]\ncredential_process = sh {self.path}\n")

    def prints(self, *, seconds: float, lifetime: float | None) -> None:
        """Takes so long, and what it prints lives so long (None: for ever)."""
        document = {"Version": 1, "AccessKeyId": "KEY", "SecretAccessKey": "s", "SessionToken": "t"}
        if lifetime is not None:
            document["Expiration"] = "EXPIRATION"
        text = json.dumps(document)
        text = text.replace("KEY", "ASIA'$(wc -l < {0})'").replace(
            "EXPIRATION", "'$(date --utc --date=\"+{1} seconds\" +%Y-%m-%dT%H:%M:%SZ)'"
        )
        text = text.replace("{0}", str(self.runs)).replace("{1}", str(lifetime))
        self.does(f"echo >> {self.runs}\nsleep {seconds}\necho '{text}'")

    def does(self, script: str) -> None:
        self.path.write_text(script + "\n")


@pytest.fixture
def program(sts: StsEndpoint, tmp_path: Path) -> Program:
    return Program(tmp_path)


async def test_calls_with_little_time_get_through_while_short_lived_credentials_are_renewed(
    program: Program,
) -> None:
    program.prints(seconds=0, lifetime=8)
    chain = ChainCredentials(AwsConfiguration().session)
    assert (await chain.get()).access_key == "ASIA1"
    program.prints(seconds=1.5, lifetime=3600)
    seen = {"ASIA1"}

    async def both_were_given() -> bool:
        async with asyncio.timeout(1):
            seen.add((await chain.get()).access_key)
        return seen == {"ASIA1", "ASIA2"}

    await until(both_were_given)


async def test_credentials_that_last_for_800_s_more_serve_calls_that_have_one_second(
    program: Program,
) -> None:
    program.prints(seconds=1.5, lifetime=800)
    chain = ChainCredentials(AwsConfiguration().session)
    await chain.get()
    for _ in range(3):
        async with asyncio.timeout(1):
            assert (await chain.get()).access_key == "ASIA1"
    await chain.close()


async def test_the_renewal_that_a_call_of_one_second_has_begun_goes_on_without_it(program: Program) -> None:
    program.prints(seconds=1.5, lifetime=3600)
    chain = ChainCredentials(AwsConfiguration().session)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await chain.get()
    assert (await chain.get()).access_key == "ASIA1"


async def test_200_callers_read_the_chain_once(program: Program) -> None:
    program.prints(seconds=0.3, lifetime=3600)
    chain = ChainCredentials(AwsConfiguration().session)
    given = await asyncio.gather(*(chain.get() for _ in range(200)))
    assert {one.access_key for one in given} == {"ASIA1"}


async def test_a_slow_program_fails_the_calls_that_cannot_wait_and_serves_the_later_ones(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "CHAIN_SECONDS", 0.2)
    program.prints(seconds=1.5, lifetime=None)
    chain = ChainCredentials(AwsConfiguration().session)
    with pytest.raises(InvokeFailure) as raised:
        await chain.get()
    assert raised.value.text == f"{AS_MISSING}: they are still being read; later calls will find them"
    async with asyncio.timeout(20):
        while True:
            try:
                given = await chain.get()
            except InvokeFailure as failure:
                assert failure.kind is ErrorKind.CREDENTIALS
            else:
                break
    assert given.access_key == "ASIA1"


async def test_the_log_says_whom_it_is_at_aws_however_slow_the_program_is(
    program: Program, sts: StsEndpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(credentials, "CHAIN_SECONDS", 0.1)
    caplog.set_level("INFO")
    program.prints(seconds=0.5, lifetime=None)
    aws = AwsConfiguration()
    made = Sts(aws, ChainCredentials(aws.session), REGION)
    await log_identity(aws, made)
    await made.close()
    assert caplog.messages[-1] == "at AWS the sidecar is arn:aws:iam::123456789012:user/sidecar"
    assert sts.callers == 1


def is_gone(directory: Path) -> bool:
    """The program that has written its number there, and nobody has to wait for it any more."""
    try:
        os.kill(int((directory / "pid").read_text()), 0)
    except ProcessLookupError:
        return True
    return False


async def test_who_asks_whom_it_is_at_aws_goes_when_it_must_though_the_program_hangs(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(credentials, "CHAIN_SECONDS", 0.05)
    program.does(f"echo $$ > {tmp_path}/pid\nexec sleep 600")
    aws = AwsConfiguration()
    chain = ChainCredentials(aws.session)
    asking = asyncio.create_task(log_identity(aws, Sts(aws, chain, REGION)))
    await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
    async with asyncio.timeout(5):
        await end_tasks({asking})
        await chain.close()
    assert asking.cancelled()
    assert is_gone(tmp_path)


async def test_a_program_that_hangs_is_ended_and_said(program: Program, tmp_path: Path) -> None:
    program.does(f"echo $$ > {tmp_path}/pid\nexec sleep 600")
    chain = ChainCredentials(AwsConfiguration().session, read_seconds=1)
    with pytest.raises(InvokeFailure) as raised:
        await chain.get()
    assert raised.value.text == f"{AS_MISSING}: they could not be read within 1 s"
    await until(lambda: is_gone(tmp_path))


Setup = Callable[[Path, pytest.MonkeyPatch], None]


def _config(text: str) -> Setup:
    def write(directory: Path, _: pytest.MonkeyPatch) -> None:
        (directory / "config").write_text(text)

    return write


def _script(text: str) -> Setup:
    return lambda directory, _: Program(directory).does(text)


def _variables(**variables: str) -> Setup:
    def set_them(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_them


CANARY = "canary-in-what-the-program-printed"
OF_PROGRAM = "credential_process failed, or what it printed is not as the SDK expects it"
PAST = datetime.fromtimestamp(time.time() - 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("setup", "words"),
    [
        (lambda tmp_path, patch: web_identity(tmp_path, patch, written=False), r"No such file or directory: .*/token"),
        (_script(f"echo {CANARY} >&2; exit 3"), OF_PROGRAM),
        (_script(f"echo '{{\"Version\": \"{CANARY}\"}}'"), OF_PROGRAM),
        (_script("echo '{\"Version\": 1}'"), OF_PROGRAM),
        (_script(f"echo {CANARY}"), "JSONDecodeError"),
        (_script("printf '\\377'"), "UnicodeDecodeError"),
        (_script("echo '[]'"), "AttributeError"),
        (_script(f"echo '{{\"Version\": 1, \"AccessKeyId\": \"A\", \"SecretAccessKey\": \"b\", \"Expiration\": \"{CANARY}\"}}'"), "[A-Za-z]+Error"),
        (_script(f"echo '{{\"Version\": 1, \"AccessKeyId\": \"A\", \"SecretAccessKey\": \"b\", \"SessionToken\": \"t\", \"Expiration\": \"{PAST}\"}}'"), "Credentials were refreshed, but the refreshed credentials are still expired."),
        (_script(f"printf '%s' '{{\"Version\": 1, \"AccessKeyId\": \"A\", \"SecretAccessKey\": \"{CANARY}\\r\\n\"}}'"), "those that were given hold what no credentials can hold"),
        (_script(f"echo '{{\"Version\": 1, \"AccessKeyId\": 1, \"SecretAccessKey\": \"{CANARY}\"}}'"), "those that were given hold what no credentials can hold"),
        (_config("[default]\ncredential_process = /nowhere/program x\n"), "No such file or directory: /nowhere/program"),
        (_config("[default]\nrole_arn = arn:aws:iam::123456789012:role/r\n"), "PartialCredentialsError: .*source_profile.*"),
        (_config("[default]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = x\n"), "InvalidConfigError: .*\"x\".*"),
        (_config("[default]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\n[sso-session s]\nsso_region = us-east-1\nsso_start_url = https://x\n"), ".*SSO.*"),
        (_config("[default\n"), "ConfigParseError: .*/config"),
        (_variables(AWS_ACCESS_KEY_ID="A"), "PartialCredentialsError: Partial credentials found in env, missing: AWS_SECRET_ACCESS_KEY"),
        (_variables(AWS_PROFILE="nobody"), r"ProfileNotFound: The config profile \(nobody\) could not be found"),
        (_variables(AWS_METADATA_SERVICE_TIMEOUT="soon"), "ValueError"),
        (_variables(AWS_CONTAINER_CREDENTIALS_FULL_URI="http://example.org/"), "ValueError"),
    ],
)  # fmt: skip
async def test_every_failure_of_the_chain_is_one_kind_of_error_that_says_why(
    sts: StsEndpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    setup: Setup,
    words: str,
) -> None:
    setup(tmp_path, monkeypatch)
    chain = ChainCredentials(AwsConfiguration().session)
    for _ in range(2):
        with pytest.raises(InvokeFailure) as raised:
            await chain.get()
        assert raised.value.kind is ErrorKind.CREDENTIALS
        assert re.fullmatch(f"{re.escape(AS_MISSING)}: {words}", raised.value.text), raised.value.text
    assert CANARY not in raised.value.text + caplog.text


class Clock:
    """The real time, and as much more as the test says."""

    def __init__(self) -> None:
        self.more = 0.0

    def __call__(self) -> float:
        return time.time() + self.more


async def test_a_renewal_that_fails_is_not_felt_while_the_old_ones_serve_and_said_without_its_output(
    program: Program, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "MISSING_SECONDS", 0.05)
    clock = Clock()
    program.prints(seconds=0, lifetime=3600)
    chain = ChainCredentials(AwsConfiguration().session, clock=clock)
    await chain.get()
    program.does(f"echo {CANARY} >&2; exit 1")
    clock.more = 3600 - 800

    async def is_said() -> bool:
        assert (await chain.get()).access_key == "ASIA1"
        return "the AWS credential chain failed" in caplog.text

    await until(is_said)
    clock.more = 3600
    with pytest.raises(InvokeFailure, match=OF_PROGRAM):
        await chain.get()
    program.prints(seconds=0, lifetime=7200)

    async def works_again() -> bool:
        try:
            return bool((await chain.get()).access_key == "ASIA2")
        except InvokeFailure:
            return False

    await until(works_again)
    assert CANARY not in caplog.text


async def test_a_source_that_gives_the_same_again_is_not_asked_at_each_call(
    program: Program, tmp_path: Path
) -> None:
    program.prints(seconds=0, lifetime=600)
    clock = Clock()
    chain = ChainCredentials(AwsConfiguration().session, clock=clock)
    await chain.get()
    script = program.path.read_text()
    expires = datetime.fromtimestamp(time.time() + 590, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    program.does(re.sub(r"'\$\(date.*\)'", expires, script))
    clock.more = 400
    for _ in range(100):
        await chain.get()
        await asyncio.sleep(0.002)
    await asyncio.gather(*chain._tasks)
    assert len(program.runs.read_text()) == 2


async def test_sts_is_asked_with_the_chains_renewed_credentials(program: Program, sts: StsEndpoint) -> None:
    program.prints(seconds=0, lifetime=3600)
    sts.clock = clock = Clock()
    role = Role(ROLE + "orders", None, 900, False)
    async with parts(clock) as (_, _, roles):
        await roles.get(role, Account("one", "%"), "eu-central-1")
        program.prints(seconds=0, lifetime=7200)
        clock.more = 3600
        await roles.get(role, Account("two", "%"), "eu-central-1")
    assert sts.signed_by == ["ASIA1", "ASIA2"]
