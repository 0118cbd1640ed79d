"""The Invoke API as boto3 uses it: names, types, payloads, errors, log tail, client context."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from tests.local.local_support import EXAMPLES, running, write_function

from lambda_sidecar.local.errors import ApiError
from lambda_sidecar.local.target import resolve

ARN = "arn:aws:lambda:us-east-1:123456789012:function:Echo"
CONTEXT = """
    def lambda_handler(event, context):
        print("hello from the function")
        client = context.client_context
        return {"arn": context.invoked_function_arn, "id": context.aws_request_id,
                "remaining": context.get_remaining_time_in_millis(),
                "client": client and {"custom": client.custom, "title": client.client.app_title}}
"""


async def test_every_form_of_a_function_name_resolves_by_function_name() -> None:
    forms = {
        "Echo": ARN,
        "Echo:$LATEST": ARN + ":$LATEST",
        "Echo:prod": ARN + ":prod",
        "Echo:7": ARN + ":7",
        "999999999999:function:Echo": ARN.replace("123456789012", "999999999999"),
        "999999999999:function:Echo:prod": ARN.replace("123456789012", "999999999999") + ":prod",
        ARN: ARN,
        "arn:aws:lambda:eu-central-1:999999999999:function:Echo": (
            "arn:aws:lambda:eu-central-1:999999999999:function:Echo"
        ),
        "arn:aws-cn:lambda:cn-north-1:999999999999:function:Echo:1": (
            "arn:aws-cn:lambda:cn-north-1:999999999999:function:Echo:1"
        ),
        "arn:aws-us-gov:lambda:us-gov-west-1:999999999999:function:Echo": (
            "arn:aws-us-gov:lambda:us-gov-west-1:999999999999:function:Echo"
        ),
    }
    async with running(EXAMPLES) as local:
        for form, arn in forms.items():
            assert (await local.invoke(form, {"form": form})).value == {"form": form}
            assert (await local.record())[-1]["invoked_arn"] == arn, form
        assert (await local.invoke("Echo", 1, Qualifier="prod")).value == 1
        assert (await local.record())[-1]["qualifier"] == "prod"


# In \d of Python's patterns are the digits of every script.
ARABIC_ONE = "\N{ARABIC-INDIC DIGIT ONE}"


@pytest.mark.parametrize(
    "name",
    [
        *("", "a b", "../Echo", ".", "..", "Echo/", "Echo:a:b", "arn:aws:lambda:us-east-1:1:function:Echo"),
        *("...", "..:live", "Echo:1.2", "Echo:$LATEST.", "x" * 65, "x" * 257, "Echo:" + "q" * 129),
        f"{ARABIC_ONE * 12}:function:Echo",
        f"arn:aws:lambda:us-east-{ARABIC_ONE}:123456789012:function:Echo",
    ],
)
def test_what_is_no_function_name_is_refused(name: str) -> None:
    with pytest.raises(ApiError, match="InvalidParameterValueException"):
        resolve(name, None, region="us-east-1", account_id="123456789012")


async def test_a_function_may_have_dots_in_its_name_and_a_hidden_folder_is_none(tmp_path: Path) -> None:
    for name in ("orders.new", ".hidden"):
        write_function(tmp_path, name, CONTEXT)
    async with running(tmp_path) as local:
        arn = "arn:aws:lambda:us-east-1:123456789012:function:orders.new"
        assert (await local.invoke("orders.new", 1)).error is None
        assert (await local.invoke(f"{arn}:$LATEST.PUBLISHED", 1)).error is None
        assert [call["qualifier"] for call in await local.record("orders.new")] == [None, "$LATEST.PUBLISHED"]
        assert (await local.error(".hidden", 1))["Code"] == "ResourceNotFoundException"
        for qualifier in ("a$b", "q" * 128):
            assert (await local.invoke("orders.new", 1, Qualifier=qualifier)).error is None
        for qualifier in ("a.b", "q" * 129):
            error = await local.error("orders.new", 1, Qualifier=qualifier)
            assert (error["status"], error["Code"]) == (400, "InvalidParameterValueException")


async def test_two_different_qualifiers_are_refused() -> None:
    async with running(EXAMPLES) as local:
        error = await local.error("Echo:dev", 1, Qualifier="prod")
        assert (error["status"], error["Code"]) == (400, "InvalidParameterValueException")
        assert await local.record() == []


async def test_the_three_invocation_types_answer_as_lambda_does(tmp_path: Path) -> None:
    write_function(tmp_path, "F", CONTEXT)
    async with running(tmp_path) as local:
        got = await local.invoke("F", {})
        assert (got.status, got.error, got.version, got.log) == (200, None, "$LATEST", None)
        assert got.value["id"] == got.request_id
        assert got.value["arn"] == "arn:aws:lambda:us-east-1:123456789012:function:F"
        assert 0 < got.value["remaining"] <= 3000
        event = await local.invoke("F", {}, InvocationType="Event")
        assert (event.status, event.raw, event.error) == (202, b"", None)
        dry = await local.invoke("F", {}, InvocationType="DryRun")
        assert (dry.status, dry.raw) == (204, b"")
        record = await local.record("F")
        assert [one["invocation_type"] for one in record] == ["RequestResponse", "Event", "DryRun"]
        assert record[2]["outcome"] == "dry_run"
        assert record[2]["started"] is None
        assert record[0]["arrived"] <= record[0]["started"] <= record[0]["finished"]
        assert [record[0]["request_id"], record[1]["request_id"]] == [got.request_id, event.request_id]


async def test_a_payload_arrives_as_it_was_sent_and_an_empty_one_as_an_empty_object() -> None:
    async with running(EXAMPLES) as local:
        assert (await local.invoke("Echo")).value == {}
        for text in ('"ß 😀 \\ud83d"', "null", "[1, 2.50, true]", '{"a":{"b":[]}}', ' "x" '):
            await local.invoke("Echo", raw=text.encode())
            assert (await local.record())[-1]["payload"] == text
        assert json.loads((await local.invoke("Echo", raw='"ß 😀"'.encode())).raw) == "ß 😀"


@pytest.mark.parametrize(
    "payload",
    [b"{", b"nope", b"NaN", b"[Infinity]", b'"\xff"', b"\xef\xbb\xbf1", b"1 2", b"'a'", b"[" * 100_000],
    ids=lambda payload: repr(payload[:10]),
)
async def test_what_is_not_json_is_refused_and_not_invoked(payload: bytes) -> None:
    async with running(EXAMPLES) as local:
        error = await local.error("Echo", raw=payload)
        assert (error["status"], error["class"]) == (400, "InvalidRequestContentException")
        assert error["Message"].startswith("Could not parse request body into json: ")
        assert await local.record() == []


async def test_payloads_above_the_quotas_are_refused_and_those_at_the_quota_are_taken() -> None:
    async with running(EXAMPLES) as local:
        most = b'"' + b"x" * (6_291_456 - 2) + b'"'
        assert (await local.invoke("Echo", raw=most)).raw == most
        assert (await local.invoke("Echo", raw=most[:1_048_575] + b'"', InvocationType="Event")).status == 202
        for raw, kind, message in (
            (most + b" ", "RequestResponse", "Request must be smaller than 6291456 bytes for the Invoke"),
            (most[:1_048_576] + b'"', "Event", "1048577 byte payload is too large for the Event invocation"),
        ):
            error = await local.error("Echo", raw=raw, InvocationType=kind)
            assert (error["status"], error["Code"], error["Type"]) == (
                413,
                "RequestTooLargeException",
                "User",
            )
            assert message in error["Message"]
        assert len(await local.record()) == 2


async def test_an_answer_of_6291556_bytes_passes_and_one_byte_more_is_a_function_error() -> None:
    async with running(EXAMPLES) as local:
        assert len((await local.invoke("Big", {"bytes": 6_291_554})).raw) == 6_291_556
        got = await local.invoke("Big", {"bytes": 6_291_555})
        assert got.error == "Unhandled"
        assert got.value == {
            "errorType": "Function.ResponseSizeTooLarge",
            "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        }
        assert (await local.invoke("Big", {"bytes": 3})).value == "xxx"


async def test_an_unknown_function_is_not_found() -> None:
    async with running(EXAMPLES) as local:
        for name in ("Nope", "lambda_function"):
            error = await local.error(name, {})
            assert (error["status"], error["class"]) == (404, "ResourceNotFoundException")
            arn = f"arn:aws:lambda:us-east-1:123456789012:function:{name}"
            assert error["Message"] == f"Function not found: {arn}"
        assert await local.record() == []


async def test_the_log_tail_has_start_output_end_and_report(tmp_path: Path) -> None:
    write_function(tmp_path, "F", CONTEXT)
    async with running(tmp_path) as local:
        first, second = [await local.invoke("F", {}, LogType="Tail") for _ in range(2)]
        assert first.log is not None
        assert second.log is not None
        assert "Init Duration: " in first.log
        lines = second.log.splitlines()
        assert lines[0] == f"START RequestId: {second.request_id} Version: $LATEST"
        assert lines[1:3] == ["hello from the function", f"END RequestId: {second.request_id}"]
        assert lines[3].startswith(f"REPORT RequestId: {second.request_id}\tDuration: ")
        assert "\tMemory Size: 128 MB\tMax Memory Used: " in lines[3]


async def test_the_client_context_reaches_the_function(tmp_path: Path) -> None:
    write_function(tmp_path, "F", CONTEXT)
    context: dict[str, Any] = {"client": {"app_title": "ä\n"}, "custom": {"who": "me"}}
    encoded = base64.b64encode(json.dumps(context, ensure_ascii=False).encode()).decode()
    async with running(tmp_path) as local:
        got = await local.invoke("F", {}, ClientContext=encoded)
        assert got.value["client"] == {"custom": {"who": "me"}, "title": "ä\n"}
        for wrong in ("%%%", base64.b64encode(b"{").decode(), "A" * 3584):
            assert (await local.error("F", {}, ClientContext=wrong))["status"] == 400
        assert len(await local.record()) == 1


async def test_the_examples_do_what_they_say() -> None:
    async with running(EXAMPLES) as local:
        pong = (await local.invoke("BasicTestLambda", {"operation": "ping"})).value
        assert (pong["operation"], pong["message"]) == ("ping", "pong")
        assert (
            "unknown operation" in (await local.invoke("BasicTestLambda", {"operation": "x"})).value["error"]
        )
        assert (await local.invoke("Sleep", {"seconds": 0.01})).value == {"slept": 0.01}
        raised = await local.invoke("Raise", {"message": "no such customer"})
        assert (raised.status, raised.error) == (200, "Unhandled")
        assert (raised.value["errorType"], raised.value["errorMessage"]) == ("ValueError", "no such customer")
