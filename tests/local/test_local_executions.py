"""Durable executions by name in the local Lambda: of one name and payload one runs.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import itertools
import re
from pathlib import Path
from typing import Any

import boto3
import pytest
from tests.local.local_support import WAIT_FOR_FILE, Running, running, write_function
from tests.support.waiting import until

from lambda_sidecar.local import LocalLambdaError, executions
from lambda_sidecar.local.errors import ApiError
from lambda_sidecar.local.executions import Executions
from lambda_sidecar.local.function import FunctionFolder
from lambda_sidecar.local.invocation import Invocation, Outcome
from lambda_sidecar.local.target import resolve

COUNT = """
    import itertools
    numbers = itertools.count(1)
    def lambda_handler(event, context):
        number = next(numbers)
        if event.get("fails"):
            raise ValueError(f"failed {number}")
        return number
"""
ALREADY = "DurableExecutionAlreadyStartedException"


def arn_pattern() -> re.Pattern[str]:
    model = boto3.client("lambda", region_name="us-east-1").meta.service_model
    return re.compile(model.shape_for("DurableExecutionArn").metadata["pattern"])


async def asked(
    local: Running, name: str, payload: Any, function: str = "Count", **more: Any
) -> dict[str, Any]:
    """boto3's whole answer, with the payload's text."""

    def call() -> dict[str, Any]:
        got = local.client.invoke(FunctionName=function, Payload=payload, DurableExecutionName=name, **more)
        return {**got, "Payload": got["Payload"].read().decode()}

    return await asyncio.to_thread(call)


async def test_the_same_name_and_payload_get_the_same_answer_and_arn_and_the_function_runs_once(
    tmp_path: Path,
) -> None:
    write_function(tmp_path, "Count", COUNT)
    async with running(tmp_path) as local:
        first, second = await asked(local, "order-1", '{"a": 1}'), await asked(local, "order-1", '{"a": 1}')
        assert first["Payload"] == second["Payload"] == "1"
        assert first["DurableExecutionArn"] == second["DurableExecutionArn"]
        assert arn_pattern().fullmatch(first["DurableExecutionArn"])
        assert first["ResponseMetadata"]["RequestId"] != second["ResponseMetadata"]["RequestId"]
        other = await asked(local, "order-2", '{"a": 1}', function="Count:7")
        assert (other["Payload"], arn_pattern().fullmatch(other["DurableExecutionArn"])[5]) == ("2", "7")  # type: ignore[index]
        assert len(await local.record("Count")) == 2


async def test_a_function_that_failed_has_failed_for_whoever_asks_again(tmp_path: Path) -> None:
    write_function(tmp_path, "Count", COUNT)
    async with running(tmp_path) as local:
        first, second = [await asked(local, "n", '{"fails": true}', LogType="Tail") for _ in range(2)]
        assert first["FunctionError"] == second["FunctionError"] == "Unhandled"
        assert "failed 1" in first["Payload"]
        assert first["Payload"] == second["Payload"]


async def test_another_payload_under_the_name_is_refused_and_names_are_each_functions_own(
    tmp_path: Path,
) -> None:
    write_function(tmp_path, "Count", COUNT)
    write_function(tmp_path, "Other", COUNT)
    async with running(tmp_path) as local:
        await asked(local, "n", '{"a": 1}')
        refused = await local.error("Count", {"a": 2}, DurableExecutionName="n")
        assert (refused["status"], refused["Code"], refused["class"]) == (409, ALREADY, ALREADY)
        assert "n" in refused["Message"]
        assert (await asked(local, "n", '{"a": 2}', function="Other"))["Payload"] == "1"


async def test_whoever_asks_while_it_runs_gets_its_answer_even_if_the_first_one_has_gone(
    tmp_path: Path,
) -> None:
    write_function(tmp_path, "Wait", WAIT_FOR_FILE, "timeout = 30")
    go, started = tmp_path / "go", tmp_path / "started"
    payload = f'{{"go": "{go}", "started": "{started}"}}'
    async with running(tmp_path) as local:
        url = f"{local.service.endpoint}/2015-03-31/functions/Wait/invocations"
        headers = {"Authorization": "AWS4-HMAC-SHA256 Credential=a/b", "X-Amz-Durable-Execution-Name": "n"}
        gone = asyncio.create_task(local.http.post(url, data=payload, headers=headers))
        await until(started.exists)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        others = [asyncio.create_task(asked(local, "n", payload, function="Wait")) for _ in range(3)]
        await asyncio.sleep(0)
        go.touch()
        answers = await asyncio.gather(*others)
        assert len({answer["Payload"] for answer in answers}) == 1
        assert len({answer["DurableExecutionArn"] for answer in answers}) == 1
        assert len(await local.record("Wait")) == 1


async def test_events_of_one_name_run_once_and_their_answer_is_there_for_who_waits(tmp_path: Path) -> None:
    write_function(tmp_path, "Count", COUNT)
    async with running(tmp_path, event_retry_seconds=(0.01, 0.01)) as local:
        accepted = [await asked(local, "n", '{"a": 1}', InvocationType="Event") for _ in range(3)]
        assert [each["StatusCode"] for each in accepted] == [202] * 3
        assert len({each["DurableExecutionArn"] for each in accepted}) == 1
        assert (await asked(local, "n", '{"a": 1}'))["Payload"] == "1"
        await asked(local, "f", '{"fails": true}', InvocationType="Event")
        failed = await asked(local, "f", '{"fails": true}')  # waits for the third attempt
        assert "failed 4" in failed["Payload"]
        assert [each["attempt"] for each in await local.record("Count")] == [1, 1, 2, 3]


async def test_a_throttled_one_has_started_nothing_and_the_next_one_may(tmp_path: Path) -> None:
    write_function(tmp_path, "Count", COUNT, "concurrency = 0")
    async with running(tmp_path) as local:
        refused = await local.error("Count", {"a": 1}, DurableExecutionName="n")
        assert refused["status"] == 429
        write_function(tmp_path, "Count", COUNT, "concurrency = 1")
        assert (await asked(local, "n", '{"a": 2}'))["Payload"] == "1"


async def test_a_name_is_free_again_when_the_functions_retention_is_over(tmp_path: Path) -> None:
    write_function(tmp_path, "Count", COUNT, "[durable]\nretention_seconds = 0.05")
    async with running(tmp_path) as local:
        first = await asked(local, "n", '{"a": 1}')
        second = first
        while second["DurableExecutionArn"] == first["DurableExecutionArn"]:
            second = await asked(local, "n", '{"a": 1}')
        assert (first["Payload"], second["Payload"]) == ("1", "2")
        assert (await asked(local, "other", '{"a": 2}'))["Payload"] == "3"


async def test_a_wrong_name_is_refused_and_a_dry_run_needs_none(tmp_path: Path) -> None:
    write_function(tmp_path, "Count", COUNT)
    async with running(tmp_path) as local:
        url = f"{local.service.endpoint}/2015-03-31/functions/Count/invocations"
        for wrong in ("a.b", "x" * 65):
            headers = {
                "Authorization": "AWS4-HMAC-SHA256 Credential=a/b",
                "X-Amz-Durable-Execution-Name": wrong,
            }
            async with local.http.post(url, data=b"{}", headers=headers) as answer:
                assert answer.status == 400
                assert "durableExecutionName" in await answer.text()
        dry = await asked(local, "n", '{"a": 1}', InvocationType="DryRun")
        assert (dry["StatusCode"], "DurableExecutionArn" in dry) == (204, False)


async def test_a_stop_ends_who_waits_for_an_execution(tmp_path: Path) -> None:
    write_function(tmp_path, "Wait", WAIT_FOR_FILE, "timeout = 30")
    payload = f'{{"go": "{tmp_path}/never", "started": "{tmp_path}/started"}}'
    async with running(tmp_path) as local:
        waiting = [asyncio.create_task(asked(local, "n", payload, function="Wait")) for _ in range(2)]
        await until((tmp_path / "started").exists)
        await local.service.stop()
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            assert "ServiceException" in str(outcome) or "closed" in str(outcome)


@pytest.mark.parametrize(
    "settings",
    ["durable = 1", "[durable]\nretention = 1", "[durable]\nretention_seconds = 0",
     "[durable]\nretention_seconds = 7776001", '[durable]\nretention_seconds = "1"'],
)  # fmt: skip
def test_a_retention_that_is_none_is_refused_by_name(tmp_path: Path, settings: str) -> None:
    write_function(tmp_path, "Count", COUNT, settings)
    with pytest.raises(LocalLambdaError, match=r"function\.toml: durable"):
        FunctionFolder(tmp_path).find("Count")


# ---- memory ----


def invocation(payload: bytes) -> Invocation:
    target = resolve("Count", None, region="us-east-1", account_id="123456789012")
    return Invocation(target=target, invocation_type="RequestResponse", event=payload)


async def test_what_is_kept_of_executions_has_a_bound_and_those_that_run_are_never_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(executions, "KEPT_MAX", 3)
    monkeypatch.setattr(executions, "KEPT_MAX_BYTES", 100)
    known = Executions()
    runs = invocation(b"1")
    known.begin(runs, "runs", 60)
    for number in range(10):
        one = invocation(b"1")
        known.begin(one, f"n{number}", 60)
        one.end(Outcome(payload=b"1"))
    assert [known.find(invocation(b"1"), f"n{number}") is not None for number in range(10)] == [False] * 7 + [
        True
    ] * 3
    with pytest.raises(ApiError, match=ALREADY):
        known.find(invocation(b"2"), "runs")
    large = invocation(b"1")
    known.begin(large, "large", 60)
    large.end(Outcome(payload=b"x" * 99))
    assert [known.find(invocation(b"1"), name) is not None for name in ("n8", "n9", "large")] == [
        False,
        True,
        True,
    ]
    too_large = invocation(b"1")
    known.begin(too_large, "too_large", 60)
    too_large.end(Outcome(payload=b"x" * 101))
    names = ("n9", "large", "too_large", "runs")
    assert [known.find(invocation(b"1"), name) is not None for name in names] == [False, False, False, True]
    assert (known._bytes, len(known._known)) == (0, 1)
    for number in itertools.islice(itertools.count(), 3):
        again = invocation(b"1")
        known.begin(again, f"again{number}", 60)
        again.end(None)
    assert len(known._known) == 1
    runs.end(None)
    assert known._known == {}
