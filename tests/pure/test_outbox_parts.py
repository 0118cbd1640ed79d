"""Rows, verdicts, events and statements of the outbox: what a row is, what becomes of it, and the SQL for that.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from lambda_sidecar.access.account import Account
from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.errors import (
    AccessDenied,
    ApiError,
    CallTimeout,
    ConnectionLost,
    EndpointUnreachable,
    InternalFailure,
    InvalidRequest,
    InvokeFailure,
    MissingCredentials,
    NotAsLambdaDoes,
    Overloaded,
    RoleNotAssumed,
    Throttled,
)
from lambda_sidecar.outbox import changes
from lambda_sidecar.outbox.row import Row, Stored, event, event_id, make_row, stored_rows
from lambda_sidecar.outbox.sql_text import literal
from lambda_sidecar.outbox.transaction import due_at, statements
from lambda_sidecar.outbox.verdict import (
    BACKOFF_MAX,
    ERROR_MAX,
    UNSENT_SECONDS,
    Accepted,
    Dead,
    Later,
    Parked,
    is_attempt,
    judge,
)

CREATED = 1_800_000_000.123456
NOW = 1_900_000_000.0
HOURS = 24.0


def stored(options: dict[str, Any] | None = None, **more: Any) -> Stored:
    fields = {"id": 17, "function_name": "f", "payload": "{}", "caller": "app@%", "created": CREATED}
    return Stored(**{**fields, "payload_bytes": 2, "options": options, **more})


def made(options: dict[str, Any] | None = None, *, is_waiting: bool = False, **more: Any) -> Row:
    return make_row(stored(options, **more), is_waiting=is_waiting)


# ---- rows ----


def test_a_row_without_options_is_a_plain_event() -> None:
    row = made()
    assert (row.id, row.function_name, row.payload, row.account) == (17, "f", b"{}", Account("app", "%"))
    assert (row.is_plain, row.wrong, row.call.invocation_type) == (True, None, "Event")


def test_an_account_is_split_at_its_last_at_sign() -> None:
    assert made(caller="a@b@localhost").account == Account("a@b", "localhost")
    assert made(caller="@%").account == Account("", "%")


@pytest.mark.parametrize("name", ["group_key", "deduplication_key"])
def test_a_key_sends_a_row_through_the_waiting_ones(name: str) -> None:
    row = made({name: "k "})
    assert getattr(row, name) == "k "
    assert not row.is_plain


@pytest.mark.parametrize("seconds", [0, 1, 0.25, 2_678_400])
def test_a_delay_counts_from_the_insertion(seconds: float) -> None:
    row = made({"delay_seconds": seconds})
    assert row.delayed_until == CREATED + seconds
    assert not row.is_plain


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-25T21:42:08Z",
        "2026-11-25 21:42:08",
        "2026-11-25T21:42:08.0Z",
        "2026-11-25 21:42:08.000000000",
    ],
)
def test_expires_at_is_read_as_utc(text: str) -> None:
    assert made({"expires_at": text}).expires == datetime(2026, 11, 25, 21, 42, 8, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("text", ["2026-02-30 00:00:00", "2026-19-01 00:00:00", "2026-01-01 29:00:00"])
def test_a_moment_that_does_not_exist_makes_the_row_one_that_cannot_be_delivered(text: str) -> None:
    wrong = made({"expires_at": text}).wrong
    assert wrong is not None
    assert wrong.startswith("options: ")


def test_keep_result_asks_for_an_answer() -> None:
    row = made({"keep_result": True})
    assert (row.keep_result, row.call.invocation_type) == (True, "RequestResponse")
    assert made({"keep_result": False}).call.invocation_type == "Event"


def test_options_of_the_call_are_passed_on() -> None:
    given = {
        "invocation_type": "DryRun",
        "region": "eu-west-1",
        "qualifier": "prod",
        "role": "r",
        "tenant_id": "t",
    }
    call = made(given).call
    assert {name: getattr(call, name) for name in given} == given


def test_of_a_row_that_waits_its_own_columns_count() -> None:
    row = made(
        {"group_key": "k", "deduplication_key": "d"}, is_waiting=True, attempts=3, group_key="k", due=5.0
    )
    assert (row.attempts, row.group_key, row.due, row.deduplication_key) == (3, "k", 5.0, None)


@pytest.mark.parametrize("caller", ["app@%", "a@b@localhost", "no account"])
def test_a_group_is_of_the_account_as_the_tables_have_it(caller: str) -> None:
    assert made({"group_key": "k"}, caller=caller).group == (caller, "k")
    assert made(caller=caller).group is None


def test_what_mysql_writes_as_json_is_read_as_it_is() -> None:
    text = '[[17, "f", "{\\"a\\": \\"é🐬\\\\u0000\\"}", {"group_key": "k"}, "a@%", 1800000000.123456, 20]]'
    (each,) = stored_rows(text)
    assert each.payload == '{"a": "é🐬\\u0000"}'
    assert f"{make_row(each, is_waiting=False).created:.6f}" == "1800000000.123456"


@pytest.mark.parametrize("microseconds", [0, 1, 123_456, 499_999, 500_000, 999_999])
@pytest.mark.parametrize("seconds", [1_000_000_000, 1_800_000_001, 2_147_483_647])
def test_a_moment_comes_back_from_sql_to_the_microsecond(seconds: int, microseconds: int) -> None:
    text = f"{seconds}.{microseconds:06d}"
    assert f"{json.loads(text):.6f}" == text


# ---- events ----


def test_a_payload_is_sent_as_it_was_written() -> None:
    payload = '{"b": 1,  "a": "é\\u00e9🐬"}'.encode()
    assert event(made(), payload) is payload


def test_an_envelope_is_a_cloud_event() -> None:
    row = made({"envelope": True}, caller="ä@10.0.%")
    row.attempts = 2
    wrapped = event(row, b'{"n": 1.0}')
    assert json.loads(wrapped) == {
        "specversion": "1.0",
        "id": event_id(row, b'{"n": 1.0}'),
        "source": "/lambda-udf/outbox",
        "type": "lambda-udf.outbox",
        "time": "2027-01-15T08:00:00.123456Z",
        "datacontenttype": "application/json",
        "caller": "ä@10.0.%",
        "attempt": 3,
        "data": {"n": 1.0},
    }
    assert wrapped.endswith(b'"data": {"n": 1.0}}')  # unchanged
    # CloudEvents 1.0, "Naming Conventions": lower-case letters and digits
    assert all(re.fullmatch("[a-z0-9]+", name) for name in json.loads(wrapped))


# ---- verdicts ----


@pytest.mark.parametrize(
    "failure",
    [
        InvalidRequest("payload is not JSON"),
        AccessDenied("account app@% may not invoke f"),
        ApiError("ResourceNotFoundException", "Function not found"),
        ApiError("InvalidRequestContentException", "no"),
        ApiError("InvalidParameterValueException", "no"),
        ApiError("RequestTooLargeException", "no"),
        ApiError("ValidationException", "no"),
        ApiError("UnsupportedMediaTypeException", "no"),
        ApiError("ResponseTooLarge", "no"),
    ],
    ids=lambda failure: failure.text[:40],
)
def test_what_will_be_the_same_tomorrow_is_dead_at_once_with_the_reason(failure: InvokeFailure) -> None:
    assert judge(failure, 1, 30, NOW) == Dead(failure.text)


@pytest.mark.parametrize(
    "failure",
    [
        ApiError("TooManyRequestsException", "Rate Exceeded.", passes=True),
        ApiError("ServiceException", "oops"),
        ApiError("HTTP 503", "no message"),
        EndpointUnreachable(),
        ConnectionLost("it was closed"),
        CallTimeout(60_000),
        NotAsLambdaDoes("an HTML page"),
        InternalFailure(),
    ],
    ids=lambda failure: failure.text[:40],
)
def test_what_may_pass_is_tried_again(failure: InvokeFailure) -> None:
    verdict = judge(failure, 1, 30, NOW)
    assert isinstance(verdict, Later)
    assert verdict.error == failure.text
    assert NOW + 0.5 <= verdict.at <= NOW + 1


def test_waits_grow_to_ten_minutes() -> None:
    failure = ApiError("ServiceException", "oops")
    for attempts in (*range(1, 31), 1000):
        verdict = judge(failure, attempts, 1001, NOW)
        assert isinstance(verdict, Later)
        most = min(2.0 ** (attempts - 1), BACKOFF_MAX)
        assert most / 2 <= verdict.at - NOW <= most


def test_waits_differ_so_that_rows_do_not_come_back_together() -> None:
    failure = ApiError("ServiceException", "oops")
    moments = {judge(failure, 5, 30, NOW) for _ in range(20)}
    assert len(moments) == 20


@pytest.mark.parametrize(("asked", "waited"), [(90.0, 90.0), (0.1, 1.0), (1e9, BACKOFF_MAX)])
def test_lambdas_retry_after_is_waited_for_up_to_ten_minutes(asked: float, waited: float) -> None:
    verdict = judge(ApiError("TooManyRequestsException", "", retry_after=asked), 1, 30, NOW)
    assert isinstance(verdict, Later)
    assert verdict.at - NOW <= waited
    assert verdict.at - NOW >= min(asked, waited)


def test_after_max_attempts_a_row_is_given_up_with_its_last_error() -> None:
    failure = ApiError("ServiceException", "oops")
    assert isinstance(judge(failure, 2, 3, NOW), Later)
    assert judge(failure, 3, 3, NOW) == Dead(f"given up after 3 attempts: {failure.text}")


def test_an_error_fits_its_column() -> None:
    failure = InvokeFailure("é" * 3000)
    later, dead = judge(failure, 1, 3, NOW), judge(failure, 3, 3, NOW)
    assert isinstance(later, Later)
    assert isinstance(dead, Dead)
    assert later.error is not None
    assert len(later.error) == len(dead.error) == ERROR_MAX


# ---- statements ----

ANSWER = InvocationResult(200, '{"é": 1}'.encode(), "request", "7", "", b"")


def sql(*batch: tuple[Row, Any]) -> list[str]:
    return list(statements(list(batch), HOURS))


def test_accepted_rows_of_both_tables_are_deleted_together() -> None:
    rows = [made(id=number, is_waiting=number > 2, group_key=None) for number in (1, 2, 3)]
    found = sql(*((row, Accepted(ANSWER)) for row in rows))
    assert [text.partition(" WHERE")[0] for text in found] == [
        "DELETE /*+ INDEX(outbox PRIMARY) */ FROM lambda_udf.outbox",
        "DELETE /*+ INDEX(outbox_waiting PRIMARY) */ FROM lambda_udf.outbox_waiting",
    ]
    assert "id IN (1,2)" in found[0]
    assert "id IN (3)" in found[1]


@pytest.mark.parametrize("is_waiting", [False, True])
@pytest.mark.parametrize(
    "verdict", [Later(5.0, "e"), Accepted(ANSWER), Dead("e"), Parked()], ids=lambda each: type(each).__name__
)
def test_no_statement_touches_another_row_that_has_the_id_by_now(is_waiting: bool, verdict: Any) -> None:
    row = made({"deduplication_key": "d"}, is_waiting=is_waiting, group_key=None)
    for text in sql((row, verdict)):
        if text.startswith("INSERT INTO lambda_udf.outbox_deduplication"):
            continue  # its key alone
        assert "FROM_UNIXTIME(1800000000.123456)" in text
        assert "(id, created_at) IN" in text or "o.created_at = v.created_at" in text


def test_an_answer_is_kept_before_its_row_goes() -> None:
    row = made({"keep_result": True})
    kept, deleted = sql((row, Accepted(ANSWER)))
    assert kept.startswith("REPLACE INTO lambda_udf.outbox_results")
    assert literal('{"é": 1}') in kept
    assert "FROM lambda_udf.outbox WHERE" in deleted


def test_a_long_answer_comes_in_parts_none_of_which_takes_long_to_write() -> None:
    answer = '"' + "é" * 3_000_000 + '"'
    *parts, kept, forgotten, _ = sql(
        (made({"keep_result": True}), Accepted(dataclasses.replace(ANSWER, payload=answer.encode())))
    )
    assert max(map(len, parts)) < 600_000
    assert b"".join(bytes.fromhex(part.split("X'")[1].split("'")[0]) for part in parts) == answer.encode()
    assert "CONCAT(" not in parts[0]  # whatever an answer before it has left there
    assert f"IF(LENGTH(@lambda_udf_answer) = {len(answer.encode())}, 200, NULL)" in kept
    assert forgotten == "SET @lambda_udf_answer = NULL"


def test_what_lambda_left_out_is_null() -> None:
    bare = dataclasses.replace(ANSWER, payload=b"", request_id="", executed_version="")
    kept, _ = sql((made({"keep_result": True}), Accepted(bare)))
    assert kept.count("NULL") == 4


def test_rows_are_put_off_into_the_waiting_ones_by_one_statement_with_their_attempts() -> None:
    first, second = made({"group_key": "k"}), made(id=18)
    first.attempts = 2
    moved, deleted = sql((first, Later(7.5, "e")), (second, Later(8.0, "f")))
    assert moved.startswith("INSERT INTO lambda_udf.outbox_waiting")
    assert f"{literal('k')},FROM_UNIXTIME(7.500000),2,{literal('e')})" in moved
    assert f"NULL,FROM_UNIXTIME(8.000000),0,{literal('f')})" in moved
    assert "FROM lambda_udf.outbox WHERE id IN (17,18)" in deleted


def test_rows_that_go_to_wait_and_accepted_ones_leave_by_two_statements_however_many_they_are() -> None:
    """Each statement is a round trip, and what Lambda has accepted waits for it."""
    later = [(made({"group_key": "k"}, id=number), Parked()) for number in (1, 2, 3)]
    accepted = [(made(id=number), Accepted(ANSWER)) for number in (4, 5)]
    moved, deleted = sql(*later, *accepted)
    assert moved.count("ROW(") == 3
    assert "id IN (4,5,1,2,3)" in deleted


def test_a_row_that_waits_keeps_its_last_error_where_there_is_no_new_one() -> None:
    row = made(is_waiting=True, group_key=None)
    (text,) = sql((row, Later(7.5, None)))
    assert text.startswith(
        "UPDATE /*+ INDEX(outbox_waiting PRIMARY) */ lambda_udf.outbox_waiting SET due_at = FROM_UNIXTIME(7.500000), attempts = 0 WHERE"
    )
    (text,) = sql((row, Later(7.5, "e")))
    assert f"error = {literal('e')}" in text


def test_a_parked_row_is_due_at_its_time_or_waits_for_the_one_before() -> None:
    assert due_at(made({"delay_seconds": 5}), Parked()) == CREATED + 5
    assert due_at(made({"deduplication_key": "d"}), Parked()) == CREATED
    assert due_at(made({"group_key": "k", "delay_seconds": 5}), Parked()) == 0
    assert f"{literal('k')},NULL,0,NULL)" in sql((made({"group_key": "k"}), Parked()))[0]


def test_a_deduplication_key_is_remembered_before_its_second_row_is_dropped() -> None:
    moved, remembered, dropped, _ = sql((made({"deduplication_key": "d"}), Parked()))
    assert moved.startswith("INSERT INTO lambda_udf.outbox_waiting")
    assert remembered.startswith("INSERT INTO lambda_udf.outbox_deduplication")
    assert "INTERVAL 86400 SECOND" in remembered
    assert "FROM lambda_udf.outbox_waiting WHERE" in dropped
    assert f"VALUES ({literal('app@%')}, {literal('f')}, {literal('d')}, 17" in remembered
    assert f"caller = {literal('app@%')} AND function_name" in dropped


TEXTS = [
    "",
    "'",
    '"',
    "\\",
    "\\'; DROP TABLE x; -- ",
    "%s",
    "\0\n\r\x1a",
    "é",
    "🐬",
    "\u2028",
    "a" * 5000,
    "`;#/*",
]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_a_literal_has_no_character_that_sql_could_read(text: str) -> None:
    found = re.fullmatch(r"_utf8mb4 X'([0-9a-f]*)'", literal(text))
    assert found is not None
    assert bytes.fromhex(found[1]).decode() == text


@pytest.mark.parametrize(
    "failure",
    [
        Overloaded(1, 1),
        MissingCredentials(),
        Throttled("TooManyRequestsException", "Rate Exceeded.").of_another(),
    ],
)
def test_what_was_not_sent_for_want_of_a_slot_or_of_credentials_is_no_attempt(failure: InvokeFailure) -> None:
    assert not is_attempt(failure)
    verdict = judge(failure, 30, 30, NOW)
    assert isinstance(verdict, Later)
    assert NOW < verdict.at <= NOW + UNSENT_SECONDS


def test_a_role_that_is_refused_says_nothing_of_other_rows_of_the_function() -> None:
    failure = RoleNotAssumed("AccessDenied", "no")
    verdict = judge(failure, 1, 30, NOW)
    assert isinstance(verdict, Later)
    assert verdict.is_rows_alone
    assert is_attempt(failure)


def test_a_bad_answer_is_final_where_the_function_has_run_for_it() -> None:
    failure = NotAsLambdaDoes("no status")
    assert judge(failure, 1, 30, NOW, keeps_result=True) == Dead(failure.text)
    assert isinstance(judge(failure, 1, 30, NOW), Later)


@pytest.mark.parametrize("moment", [0.5, 2147483647.0 + 2678400])
def test_a_moment_beyond_what_a_timestamp_holds_is_its_first_or_last_one(moment: float) -> None:
    (copy,) = changes.copy_to_waiting([(made(), moment, None)])
    assert re.search(r"NULL,FROM_UNIXTIME\((1|2147483647)\.000000\)", copy)
