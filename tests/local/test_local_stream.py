"""Streamed responses: a real client of AWS's reads what a function sends in parts, while it sends it.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiobotocore.session
import aiohttp
import pytest
from tests.local.local_stream import Read, begun, digest_of, stream, write_streaming
from tests.local.local_support import SIGNED, Running, running, write_function
from tests.support.waiting import until

MB = 1024 * 1024
EVENT_STREAM = "application/vnd.amazon.eventstream"


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Running]:
    write_streaming(tmp_path)
    async with running(tmp_path) as service:
        yield service


async def refusal(local: Running, name: str, **more: Any) -> dict[str, Any]:
    with pytest.raises(local.client.exceptions.ClientError) as caught:
        await stream(local, name, more.pop("event", {}), **more)
    response: dict[str, Any] = caught.value.response
    return {"status": response["ResponseMetadata"]["HTTPStatusCode"], **response["Error"]}


async def outcome(local: Running, number: int = 0) -> str:
    async def known() -> Any:
        return (await local.record())[number]["outcome"]

    return str(await until(known))


async def test_parts_arrive_before_the_function_has_ended(local: Running, tmp_path: Path) -> None:
    gates = {str(number): str(tmp_path / f"gate{number}") for number in (1, 2)}
    async with begun(local, "Stream", {"bytes": 3000, "part": 1000, "pass": gates}) as (response, events):
        assert response["StatusCode"] == 200
        assert response["ExecutedVersion"] == "$LATEST"
        assert response["ResponseStreamContentType"] == EVENT_STREAM
        read = Read()
        for number in (1, 2):
            read.take(await asyncio.to_thread(next, events))
            assert read.sizes == [1000] * number
            (one,) = await local.record()
            assert (one["outcome"], one["request_id"]) == (None, response["ResponseMetadata"]["RequestId"])
            (tmp_path / f"gate{number}").touch()
        read.take(await asyncio.to_thread(next, events))
        read.take(await asyncio.to_thread(next, events))
        assert read.complete == {}
        assert read.digest.digest() == digest_of(3000)
        assert await outcome(local) == "ok"
        assert (await local.local("requests"))["most_open"] == 1


async def test_20_mb_arrive_as_they_were_sent_and_the_worker_serves_the_next_call(local: Running) -> None:
    for part in (1_000_003, 65_536):
        read = await stream(local, "Stream", {"bytes": 20 * MB, "part": part})
        assert (sum(read.sizes), read.complete) == (20 * MB, {})
        assert read.digest.digest() == digest_of(20 * MB)
    read = await stream(local, "Stream", {"bytes": 0})
    assert (read.sizes, read.complete) == ([], {})


def peak_bytes() -> int:
    """The most memory that this process, in which both ends run, had resident since forget_peak()."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def forget_peak() -> int:
    Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets VmHWM
    return peak_bytes()


async def test_150_mb_pass_through_in_a_few_megabytes_of_memory(local: Running) -> None:
    expected = digest_of(150 * MB)
    await stream(local, "Stream", {"bytes": MB})
    before = forget_peak()
    read = await stream(local, "Stream", {"bytes": 150 * MB, "part": MB})
    assert peak_bytes() - before < 8 * MB
    assert (sum(read.sizes), read.complete) == (150 * MB, {})
    assert read.digest.digest() == expected


async def test_a_reader_who_stops_stops_the_function(local: Running, tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    event = {"bytes": 60 * MB, "part": MB, "sent": str(sent)}
    seen: list[str] = []

    def rests() -> bool:
        seen.append(sent.read_text())
        return len(seen) >= 30 and len(set(seen[-30:])) == 1

    before = forget_peak()
    async with begun(local, "Stream", event) as (_, events):
        read = Read()
        read.take(await asyncio.to_thread(next, events))
        await until(sent.exists)
        await until(rests)
        # What it has sent is in the buffers of two sockets.
        assert int(sent.read_text()) < 50 * MB
        assert peak_bytes() - before < 8 * MB
        assert (await local.record())[0]["outcome"] is None
        await read.rest(events)
        assert (sum(read.sizes), read.complete) == (60 * MB, {})
        assert read.digest.digest() == digest_of(60 * MB)


@pytest.mark.parametrize("text", ['{"errorMessage": "disk full"}', "disk full", "x" * 100_000])
async def test_an_error_behind_parts_ends_the_stream_with_the_runtimes_own_words(
    local: Running, text: str
) -> None:
    event = {"bytes": 300_000, "then": "error", "error": ["Custom.Failure", text]}
    read = await stream(local, "Stream", event)
    assert read.digest.digest() == digest_of(300_000)
    assert read.complete == {"ErrorCode": "Custom.Failure", "ErrorDetails": text}
    assert await outcome(local) == "error"
    assert (await stream(local, "Stream", {"bytes": 10})).complete == {}


async def test_an_error_instead_of_an_answer_is_no_part_of_the_stream(local: Running) -> None:
    event = {"then": "raise", "error": ["ValueError", "no such order"]}
    read = await stream(local, "Stream", event)
    document = {"errorType": "ValueError", "errorMessage": "no such order"}
    assert (read.sizes, read.error) == ([], ("Unhandled", document))
    raised = await local.invoke("Stream", event)
    assert (raised.error, raised.value) == ("Unhandled", document)


async def test_a_function_that_takes_too_long_amid_its_parts_is_killed(tmp_path: Path) -> None:
    write_streaming(tmp_path, "timeout = 0.7")
    code = "import time\ndef lambda_handler(event, context):\n    time.sleep(60)\n"
    write_function(tmp_path, "Hang", code, "timeout = 0.2")
    async with running(tmp_path) as local:
        read = await stream(local, "Stream", {"bytes": 5000, "then": "hang"}, LogType="Tail")
        (one,) = await local.record()
        assert read.sizes == [5000]
        message = f"RequestId: {one['request_id']} Error: Task timed out after 0.70 seconds"
        document = {"errorType": "Sandbox.Timedout", "errorMessage": message}
        assert read.error == ("Sandbox.Timedout", document)
        assert read.complete is not None
        assert "Status: timeout" in base64.b64decode(read.complete["LogResult"]).decode()
        read = await stream(local, "Hang", {})
        assert (read.sizes, read.error[0]) == ([], "Unhandled")
        assert read.error[1]["errorType"] == "Sandbox.Timedout"


async def test_a_slow_reader_does_not_hold_a_function_beyond_its_timeout(tmp_path: Path) -> None:
    write_streaming(tmp_path, "timeout = 1")
    event, read = {"bytes": 60 * MB, "part": MB}, Read()
    async with running(tmp_path) as local, begun(local, "Stream", event) as (_, events):
        assert await outcome(local) == "error"
        assert (await stream(local, "Stream", {"bytes": 10})).complete == {}
        await read.rest(events)
        assert sum(read.sizes) < 60 * MB
        assert read.error[0] == "Sandbox.Timedout"


@pytest.mark.parametrize(
    ("then", "code"), [("exit", "Runtime.ExitError"), ("cut off", "Runtime.TruncatedResponse")]
)
async def test_a_runtime_that_ends_amid_its_parts_says_so_at_the_end(
    local: Running, tmp_path: Path, then: str, code: str
) -> None:
    for number in range(3):
        gate, read = tmp_path / f"gate{number}", Read()
        event = {"bytes": 5000, "then": then, "pass": {"then": str(gate)}}
        async with begun(local, "Stream", event) as (_, events):
            read.take(await asyncio.to_thread(next, events))
            gate.touch()
            await read.rest(events)
        assert read.sizes == [5000]
        assert (read.error[0], read.error[1]["errorType"]) == (code, code)
        whole = await local.invoke("Stream", event)
        assert (whole.error, whole.value["errorType"]) == ("Unhandled", code)
    assert (await stream(local, "Stream", {"bytes": 10})).complete == {}


async def test_an_answer_above_the_quota_of_streams_is_an_error_at_its_end(
    local: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lambda_sidecar.local.runtime_answer.STREAMED_RESPONSE_MAX", 7 * MB)
    assert (await stream(local, "Stream", {"bytes": 7 * MB})).complete == {}
    read = await stream(local, "Stream", {"bytes": 7 * MB + 1})
    assert sum(read.sizes) <= 7 * MB
    assert read.error[0] == "Function.ResponseSizeTooLarge"
    assert f"({7 * MB} bytes)" in read.error[1]["errorMessage"]
    assert (await stream(local, "Stream", {"bytes": 10})).complete == {}


async def test_a_handler_that_answers_whole_is_streamed_too(tmp_path: Path) -> None:
    write_streaming(tmp_path)
    write_function(tmp_path, "Raise", 'def lambda_handler(event, context):\n    raise ValueError("no")\n')
    code = 'def lambda_handler(event, context):\n    return "x" * event\n'
    write_function(tmp_path, "Big", code)
    async with running(tmp_path) as local:
        read = await stream(local, "Big", 3 * MB)
        assert read.digest.digest() == hashlib.sha256(b'"' + b"x" * 3 * MB + b'"').digest()
        assert (len(read.sizes) > 1, read.complete) == (True, {})
        read = await stream(local, "Stream", {"bytes": 3 * MB, "mode": "buffered"})
        assert (read.digest.digest(), read.complete) == (digest_of(3 * MB), {})
        read = await stream(local, "Raise", {})
        assert (read.sizes, read.error[0]) == ([], "Unhandled")
        assert (read.error[1]["errorType"], read.error[1]["errorMessage"]) == ("ValueError", "no")
        read = await stream(
            local, "Big", 6_291_555
        )  # without parts, the quota of an answer is that of Invoke
        assert (read.sizes, read.error[1]["errorType"]) == ([], "Function.ResponseSizeTooLarge")


async def test_invoke_gets_the_whole_answer_of_a_function_that_streams(local: Running) -> None:
    got = await local.invoke("Stream", {"bytes": 6_291_556, "part": 100_000})
    assert (got.error, hashlib.sha256(got.raw).digest()) == (None, digest_of(6_291_556))
    got = await local.invoke("Stream", {"bytes": 6_291_557, "part": 100_000})
    assert (got.error, got.value["errorType"]) == ("Unhandled", "Function.ResponseSizeTooLarge")
    assert "(6291556 bytes)" in got.value["errorMessage"]
    event = {"bytes": 100, "then": "error", "error": ["Custom.Failure", '{"errorType": "Mine"}']}
    got = await local.invoke("Stream", event)
    assert (got.error, got.value) == ("Unhandled", {"errorType": "Mine"})
    event["error"] = ["Custom.Failure", "no JSON"]
    got = await local.invoke("Stream", event)
    assert (got.error, got.value["errorType"]) == ("Unhandled", "Custom.Failure")


async def test_what_invoke_refuses_is_refused_and_a_dry_run_runs_nothing(local: Running) -> None:
    unknown = await refusal(local, "Nope")
    assert (unknown["status"], unknown["Code"]) == (404, "ResourceNotFoundException")
    for more in ({"FunctionName": "Stream:dev", "Qualifier": "prod"}, {"ClientContext": "%%%"}):
        name = more.pop("FunctionName", "Stream")
        assert (await refusal(local, name, **more))["status"] == 400
    large = await refusal(local, "Stream", event="x" * 6_291_455)
    assert (large["status"], large["Code"]) == (413, "RequestTooLargeException")
    url = f"{local.service.endpoint}/2021-11-15/functions/Stream/response-streaming-invocations"
    async with local.http.post(url, headers={**SIGNED, "X-Amz-Invocation-Type": "Event"}) as response:
        assert response.status == 400
        assert "[RequestResponse, DryRun]" in await response.text()
    async with local.http.post(url) as response:
        assert response.status == 403
    assert await local.record() == []
    async with begun(local, "Stream", {}, InvocationType="DryRun") as (response_to_dry, _):
        assert response_to_dry["StatusCode"] == 204
        (one,) = await local.record()
        assert (one["invocation_type"], one["outcome"], one["started"]) == ("DryRun", "dry_run", None)


async def test_streams_have_the_slots_of_all_other_calls(tmp_path: Path) -> None:
    write_streaming(tmp_path, "timeout = 30\nconcurrency = 1")
    event = {"bytes": 20, "part": 10, "pass": {"1": str(tmp_path / "go")}}
    async with running(tmp_path) as local, begun(local, "Stream", event) as (_, events):
        throttled = await refusal(local, "Stream", event={"bytes": 10})
        assert (throttled["status"], throttled["Code"]) == (429, "TooManyRequestsException")
        (tmp_path / "go").touch()
        await Read().rest(events)
        assert [one["outcome"] for one in await local.record()] == ["ok", "throttled"]
        assert (await stream(local, "Stream", {"bytes": 10})).complete == {}


async def test_the_log_comes_at_the_end_for_whoever_asked(local: Running) -> None:
    event = {"bytes": 10, "prints": "hello from the function"}
    assert (await stream(local, "Stream", event)).complete == {}
    read = await stream(local, "Stream", event, LogType="Tail")
    assert read.complete is not None
    assert read.complete.keys() == {"LogResult"}
    log = base64.b64decode(read.complete["LogResult"]).decode()
    assert re.match(r"START RequestId: .*\nhello from the function\nEND RequestId: ", log)


async def test_a_reader_who_goes_away_leaves_the_function_running(
    local: Running, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"{local.service.endpoint}/2021-11-15/functions/Stream/response-streaming-invocations"
    sent = tmp_path / "sent"
    event = {"bytes": 60 * MB, "part": MB, "sent": str(sent)}
    async with aiohttp.ClientSession() as client, client.post(url, json=event, headers=SIGNED) as response:
        assert response.content_type == EVENT_STREAM
        assert await response.content.read(1000)
        response.close()
    assert await outcome(local) == "ok"
    assert sent.read_text() == str(60 * MB)
    (one,) = await local.record()
    assert (one["client_connected"], one["streamed"]) == (False, True)
    assert await local.local("requests") == {"open": 0, "most_open": 1}
    assert "failed" not in caplog.text
    assert (await stream(local, "Stream", {"bytes": 10})).complete == {}


async def test_a_reader_who_goes_away_before_the_first_part_is_seen_at_once(
    local: Running, tmp_path: Path
) -> None:
    event = {"bytes": 10, "pass": {"0": str(tmp_path / "go")}}
    url = f"{local.service.endpoint}/2021-11-15/functions/Stream/response-streaming-invocations"
    call = asyncio.create_task(local.http.post(url, json=event, headers=SIGNED))

    async def one() -> Any:
        return ((await local.record()) or [{"started": None}])[0]

    await until(lambda: started(one))
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)

    async def gone() -> bool:
        return not (await one())["client_connected"]

    await until(gone)
    assert (await one())["outcome"] is None
    (tmp_path / "go").touch()
    assert await outcome(local) == "ok"


async def started(one: Any) -> bool:
    return (await one())["started"] is not None


async def test_stop_ends_a_stream_with_an_error(tmp_path: Path) -> None:
    write_streaming(tmp_path)
    async with running(tmp_path) as local:
        event = {"bytes": 20, "part": 10, "pass": {"1": "/nowhere"}}
        async with begun(local, "Stream", event) as (_, events):
            read = Read()
            read.take(await asyncio.to_thread(next, events))
            rest = asyncio.create_task(read.rest(events))
            await local.service.stop()
            await rest
            assert read.error[0] == "ServiceException"


async def test_aiobotocore_reads_it_too(local: Running) -> None:
    """The sidecar's client."""
    event = {"bytes": 300_000, "then": "error", "error": ["Custom.Failure", "disk full"]}
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    session, read = aiobotocore.session.get_session(), Read()
    async with session.create_client("lambda", endpoint_url=local.service.endpoint, **keys) as client:
        response = await client.invoke_with_response_stream(FunctionName="Stream", Payload=json.dumps(event))
        async for one in response["EventStream"]:
            read.take(one)
    assert read.digest.digest() == digest_of(300_000)
    assert read.complete == {"ErrorCode": "Custom.Failure", "ErrorDetails": "disk full"}
