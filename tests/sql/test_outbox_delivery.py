"""What is written into lambda_udf.outbox arrives at Lambda: as it was written, when it may, and once.

Each test's name is the sentence that it proves. One stack for all; each test has functions of its own names."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mysql.connector
import pytest
from tests.support.account import ARN, ROLE
from tests.support.outbox import Outbox, send, started_outbox
from tests.support.scripted_lambda import (
    ACCEPTED,
    FAILED,
    HANG_UP,
    NOT_FOUND,
    Answer,
    Gate,
    answering,
    held,
    throttled,
)
from tests.support.stack import execute
from tests.support.sts_endpoint import StsEndpoint, key, sts_endpoint
from tests.support.waiting import wait_until

from lambda_sidecar.outbox.sending import BYTES_MAX

CONCURRENCY = 24


@pytest.fixture(scope="module")
def sts() -> Iterator[StsEndpoint]:
    with sts_endpoint() as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def outbox(mysql_home: Path, tmp_path_factory: pytest.TempPathFactory, sts: StsEndpoint) -> Iterator[Outbox]:
    """root may invoke everything, app what is called app…, which runs under a role."""
    settings = {
        "allow": [{"account": "root@*", "function": "*"}, {"account": "app@localhost", "function": "app*"}],
        "role_rules": [{"account": "app@localhost", "function": "app*", "role": f"{ROLE}app"}],
        "aws_default_lambda_role": f"{ROLE}default",
        "outbox": {"concurrency": CONCURRENCY, "max_attempts": 3, "deduplication_hours": 1.0},
    }
    with started_outbox(mysql_home, tmp_path_factory.mktemp("outbox"), **settings) as made:
        made.sidecar.stop()
        made.sidecar.environment["AWS_ENDPOINT_URL_STS"] = sts.url
        made.sidecar.start()
        made.query("CREATE TABLE test.orders (id INT PRIMARY KEY, note VARCHAR(20))")
        made.query("CREATE USER app@localhost, writer@localhost")
        made.query("GRANT AWS_LAMBDA_ACCESS TO app@localhost, writer@localhost")
        made.query("SET DEFAULT ROLE AWS_LAMBDA_ACCESS TO app@localhost, writer@localhost")
        made.query("GRANT ALL ON test.* TO app@localhost, writer@localhost")
        yield made
        assert "Traceback" not in made.sidecar.log_text()


# ---- exactly as it was written ----

PAYLOADS = [
    '{"b":1,"a":2,"b":3}',
    ' {"spaces" :  [1 , 2 ] }\n\t',
    '{"text": "é 🐬 ﷽ \\u00e9 \\ud83d\\udc2c \\\\ \\" \' ` % \\u0000 \u2028"}',
    "[1.0, 1e2, 12345678901234567890123, -0, 0.10]",
    '"' + "é" * 3000 + '"',
    "null",
    '"' + "x" * 4093 + '"',
    '"' + "x" * 4095 + '"',
    '"' + "x" * (1024 * 1024 - 2) + '"',
]


@pytest.mark.parametrize("payload", PAYLOADS, ids=[f"{len(each)}:{each[:12]!r}" for each in PAYLOADS])
def test_a_payload_arrives_byte_for_byte(outbox: Outbox, payload: str) -> None:
    number = outbox.send("bytes", payload)
    outbox.wait_for(number)
    assert outbox.endpoint.payloads("bytes")[-1] == payload.encode()


def test_it_is_an_event(outbox: Outbox) -> None:
    outbox.wait_for(outbox.send("event"))
    (arrival,) = outbox.endpoint.of("event")
    assert arrival.invocation_type == "Event"
    assert "x-amz-durable-execution-name" not in arrival.headers


def test_the_function_answers_with_the_number_of_the_event(outbox: Outbox) -> None:
    answer = json.loads(outbox.value("SELECT lambda_udf.lambda_async('stored', '[7]')"))
    assert answer == {"StatusCode": 202, "OutboxId": answer["OutboxId"]}
    outbox.wait_for(answer["OutboxId"])
    assert outbox.endpoint.payloads("stored") == [b"[7]"]


def test_many_rows_of_one_statement_arrive_once_each(outbox: Outbox) -> None:
    outbox.query(
        "INSERT INTO lambda_udf.outbox (function_name, payload)"
        " WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)"
        " SELECT 'many', JSON_OBJECT('i', i) FROM n"
    )
    outbox.wait_until_delivered()
    assert sorted(json.loads(each)["i"] for each in outbox.endpoint.payloads("many")) == list(range(1, 901))


def test_an_arn_and_its_qualifier_are_called(outbox: Outbox) -> None:
    outbox.wait_for(outbox.send(f"{ARN}named:prod"))
    (arrival,) = outbox.endpoint.of("named")
    assert arrival.qualifier == "prod"


# ---- the transaction decides ----


def test_after_a_rollback_nothing_is_sent(outbox: Outbox) -> None:
    with contextlib.closing(outbox.connect(autocommit=False)) as connection:
        send(connection, "rolled-back")
        connection.rollback()
        send(connection, "committed")
        connection.commit()
    outbox.wait_for_arrivals("committed", 1)
    assert outbox.endpoint.of("rolled-back") == []


def test_nothing_is_sent_before_the_commit(outbox: Outbox) -> None:
    with contextlib.closing(outbox.connect(autocommit=False)) as connection:
        send(connection, "late", "1")
        outbox.wait_for(outbox.send("between"))  # a higher id, and the sidecar has looked there
        assert outbox.endpoint.of("late") == []
        connection.commit()
    outbox.hint()
    outbox.wait_for_arrivals("late", 1)


def test_of_a_savepoint_only_what_was_kept_is_sent(outbox: Outbox) -> None:
    with contextlib.closing(outbox.connect(autocommit=False)) as connection:
        send(connection, "savepoint", "1")
        execute(connection, "SAVEPOINT s")
        send(connection, "savepoint", "2")
        execute(connection, "ROLLBACK TO SAVEPOINT s")
        send(connection, "savepoint", "3")
        connection.commit()
    outbox.wait_for_arrivals("savepoint", 2)
    outbox.wait_until_delivered()
    assert sorted(outbox.endpoint.payloads("savepoint")) == [b"1", b"3"]


def test_a_statement_that_fails_sends_nothing_and_the_rest_of_its_transaction_goes(outbox: Outbox) -> None:
    outbox.query(
        "CREATE TRIGGER test.sends AFTER INSERT ON test.orders FOR EACH ROW"
        " SET @accepted = lambda_udf.lambda_async('statement', JSON_OBJECT('id', NEW.id))"
    )
    try:
        with contextlib.closing(outbox.connect(autocommit=False)) as connection:
            execute(connection, "INSERT INTO test.orders VALUES (1, 'a')")
            with pytest.raises(mysql.connector.IntegrityError):
                execute(connection, "INSERT INTO test.orders VALUES (2, 'b'), (3, 'c'), (1, 'again')")
            execute(connection, "INSERT INTO test.orders VALUES (4, 'd')")
            connection.commit()
        outbox.wait_until_delivered()
        ids = sorted(json.loads(each)["id"] for each in outbox.endpoint.payloads("statement"))
        assert ids == [1, 4]
    finally:
        outbox.query("DROP TRIGGER test.sends")
        outbox.query("DELETE FROM test.orders")


def test_a_deadlocks_victim_sends_nothing(outbox: Outbox) -> None:
    outbox.query("INSERT INTO test.orders VALUES (1, 'a'), (2, 'b')")
    first, second = outbox.connect(autocommit=False), outbox.connect(autocommit=False)
    ends: dict[str, str] = {}

    def run(connection: Any, name: str, own: int, other: int, both: threading.Barrier) -> None:
        send(connection, "deadlock", json.dumps(name))
        execute(connection, "UPDATE test.orders SET note = 'x' WHERE id = %s", (own,))
        both.wait(10)
        try:
            execute(connection, "UPDATE test.orders SET note = 'y' WHERE id = %s", (other,))
            connection.commit()
            ends[name] = "committed"
        except mysql.connector.Error as error:
            assert error.errno == 1213
            ends[name] = "victim"

    both = threading.Barrier(2)
    threads = [
        threading.Thread(target=run, args=(first, "first", 1, 2, both)),
        threading.Thread(target=run, args=(second, "second", 2, 1, both)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first.close()
    second.close()
    outbox.query("DELETE FROM test.orders")
    assert sorted(ends.values()) == ["committed", "victim"]
    outbox.wait_until_delivered()
    assert [json.loads(each) for each in outbox.endpoint.payloads("deadlock")] == [
        name for name, end in ends.items() if end == "committed"
    ]


def test_a_session_that_is_killed_sends_nothing(outbox: Outbox) -> None:
    connection = outbox.connect(autocommit=False)
    number = send(connection, "killed")
    outbox.query(f"KILL {connection.connection_id}")
    wait_until(
        lambda: outbox.value("SELECT COUNT(*) FROM information_schema.INNODB_TRX") == 0,
        what="it is rolled back",
    )
    outbox.wait_for(outbox.send("after-kill"))
    assert outbox.endpoint.of("killed") == []
    assert not outbox.is_left(number)


# ---- who sends ----


def test_the_account_that_writes_is_the_one_that_the_rules_and_roles_look_at(
    outbox: Outbox, sts: StsEndpoint
) -> None:
    with contextlib.closing(outbox.connect(user="app", database=None)) as connection:
        allowed = send(connection, "app-orders")
        denied = send(connection, "others")
    outbox.wait_for(allowed, denied)
    (arrival,) = outbox.endpoint.of("app-orders")
    keys = {key(number): asked["RoleArn"] for number, asked in enumerate(sts.requests, 1)}
    assert keys[arrival.access_key] == f"{ROLE}app"
    assert outbox.endpoint.of("others") == []
    expected = f"AccessDenied: account 'app'@'localhost' may not invoke {ARN}others"
    assert [error for number, error, _ in outbox.dead() if number == denied] == [expected]


def test_a_triggers_definer_sends_and_not_who_fires_it(outbox: Outbox) -> None:
    outbox.query(
        "CREATE DEFINER = app@localhost TRIGGER test.sends AFTER INSERT ON test.orders FOR EACH ROW"
        " SET @accepted = lambda_udf.lambda_async('app-trigger', '1')"
    )
    try:
        with contextlib.closing(outbox.connect(user="writer")) as connection:
            execute(connection, "INSERT INTO test.orders VALUES (1, 'a')")
            own = send(connection, "app-own")
        outbox.wait_for(own)
        outbox.wait_for_arrivals("app-trigger", 1)
        assert outbox.endpoint.of("app-own") == []
    finally:
        outbox.query("DROP TRIGGER test.sends")
        outbox.query("DELETE FROM test.orders")


def test_a_role_that_no_rule_gives_kills_the_event(outbox: Outbox) -> None:
    number = outbox.send("others", role=f"{ROLE}not-given")
    outbox.wait_for(number)
    (error,) = [error for each, error, _ in outbox.dead() if each == number]
    assert error.startswith("AccessDenied: account 'root'@'localhost' may not use the role ")


# ---- options ----


def test_a_delay_is_waited_for(outbox: Outbox) -> None:
    began = time.monotonic()
    number = outbox.send("delayed", delay_seconds=0.7)
    outbox.wait_for(number)
    (arrival,) = outbox.endpoint.of("delayed")
    assert 0.68 <= arrival.at - began < 3


def test_an_event_that_has_expired_is_dead_and_never_sent(outbox: Outbox) -> None:
    past = (datetime.now(UTC) - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    future = (datetime.now(UTC) + timedelta(minutes=5)).strftime("%Y-%m-%d %H:%M:%S")
    expired, good = (
        outbox.send("expires", "1", expires_at=past),
        outbox.send("expires", "2", expires_at=future),
    )
    outbox.wait_for(expired, good)
    assert outbox.endpoint.payloads("expires") == [b"2"]
    expected = [(expired, "expired: expires_at has passed before Lambda accepted it", 0)]
    assert [each for each in outbox.dead() if each[0] == expired] == expected


def test_within_a_group_the_next_goes_when_the_one_before_is_accepted(outbox: Outbox) -> None:
    """Two functions, failures in between, delays, and events of other groups around them."""
    chosen = iter([FAILED, ACCEPTED, HANG_UP, *[ACCEPTED] * 1000])
    for function in ("group-a", "group-b"):
        outbox.endpoint.script(function, lambda _arrival: next(chosen))
    with contextlib.closing(outbox.connect(autocommit=False)) as connection:
        for number in range(40):
            more = {"delay_seconds": 0.1} if number == 6 else {}
            send(connection, f"group-{'ab'[number % 2]}", f'{{"k": {number}}}', group_key="k", **more)
            send(connection, "group-a", f'{{"l": {number}}}', group_key=f"l{number % 3}")
        connection.commit()
    outbox.hint()
    outbox.wait_until_delivered()
    arrivals = [*outbox.endpoint.of("group-a"), *outbox.endpoint.of("group-b")]
    arrivals.sort(key=lambda arrival: arrival.at)
    numbers = [json.loads(each.payload)["k"] for each in arrivals if b"k" in each.payload]
    assert list(dict.fromkeys(numbers)) == list(range(40))
    assert numbers == sorted(numbers)
    for group in range(3):
        numbers = [json.loads(each.payload).get("l", -1) for each in arrivals]
        numbers = [number for number in numbers if number >= 0 and number % 3 == group]
        assert numbers == sorted(numbers)


def test_groups_do_not_wait_for_each_other(outbox: Outbox) -> None:
    gate = Gate()
    outbox.endpoint.answer("group-slow", held(ACCEPTED, gate))
    try:
        first = outbox.send("group-slow", "1", group_key="slow")
        second = outbox.send("group-slow", "2", group_key="slow")
        outbox.wait_for_arrivals("group-slow", 1)
        outbox.wait_for(*(outbox.send("group-quick", group_key=f"quick {number}") for number in range(5)))
        assert outbox.endpoint.payloads("group-slow") == [b"1"]
    finally:
        gate.open()
    outbox.wait_for(first, second)
    assert outbox.endpoint.payloads("group-slow") == [b"1", b"2"]


def test_a_groups_next_event_goes_when_the_one_before_is_dead(outbox: Outbox) -> None:
    outbox.endpoint.script("group-dead", lambda arrival: NOT_FOUND if arrival.payload == b"1" else ACCEPTED)
    numbers = [outbox.send("group-dead", str(each), group_key="dead") for each in (1, 2, 3)]
    outbox.wait_for(*numbers)
    assert outbox.endpoint.payloads("group-dead") == [b"1", b"2", b"3"]
    assert numbers[0] in [number for number, _, _ in outbox.dead()]


def test_a_deduplication_key_is_sent_once_for_each_function(outbox: Outbox) -> None:
    numbers = [outbox.send("once", str(each), deduplication_key="same") for each in range(3)]
    numbers += [outbox.send("once", "9", deduplication_key="same ")]  # another key
    numbers += [outbox.send("once-too", "7", deduplication_key="same")]
    outbox.wait_for(*numbers)
    assert outbox.endpoint.payloads("once") == [b"0", b"9"]
    assert outbox.endpoint.payloads("once-too") == [b"7"]
    assert not [number for number, _, _ in outbox.dead() if number in numbers]


def test_a_deduplication_key_counts_again_after_its_time(outbox: Outbox) -> None:
    outbox.wait_for(outbox.send("again", "1", deduplication_key="a"))
    outbox.query("UPDATE lambda_udf.outbox_deduplication SET seen_at = seen_at - INTERVAL 61 MINUTE")
    outbox.wait_for(outbox.send("again", "2", deduplication_key="a"))
    outbox.wait_for(outbox.send("again", "3", deduplication_key="a"))
    assert outbox.endpoint.payloads("again") == [b"1", b"2"]


def test_who_truncates_the_outbox_truncates_what_deduplicates_too_for_its_ids_come_again(
    outbox: Outbox,
) -> None:
    truncate, highest = "TRUNCATE TABLE lambda_udf.outbox", outbox.send("highest")
    outbox.wait_for(highest)
    outbox.query(truncate)
    number = outbox.send("truncated", "1", deduplication_key="k")
    outbox.wait_for(number)
    outbox.query(truncate)
    assert outbox.send("truncated", "2", deduplication_key="k") == number
    outbox.wait_for(number)
    assert len(outbox.endpoint.of("truncated")) == 2, "as if it were the first one, sent again"
    outbox.wait_for(outbox.send("truncated", "3", deduplication_key="k"))
    assert len(outbox.endpoint.of("truncated")) == 2
    outbox.query(truncate)
    outbox.query("TRUNCATE TABLE lambda_udf.outbox_deduplication")
    for each in ("4", "5"):
        outbox.wait_for(outbox.send("truncated", each, deduplication_key="k"))
    assert len(outbox.endpoint.of("truncated")) == 3, "the key has not been seen yet"
    outbox.query(f"ALTER TABLE lambda_udf.outbox AUTO_INCREMENT = {highest + 1}")


def test_a_group_and_a_deduplication_key_go_together(outbox: Outbox) -> None:
    options = {"group_key": "g", "deduplication_key": "d"}
    numbers = [outbox.send("both", str(each), **options) for each in (1, 2)]
    numbers += [outbox.send("both", "3", group_key="g")]
    outbox.wait_for(*numbers)
    assert outbox.endpoint.payloads("both") == [b"1", b"3"]


def test_each_account_has_keys_of_its_own(outbox: Outbox) -> None:
    """Nobody holds up another's events, nor makes them vanish, by a key that both use."""
    options = {"group_key": "customer-7", "deduplication_key": "order-17"}
    with contextlib.closing(outbox.connect(user="writer")) as connection:
        first = send(connection, "app-keyed", '"writer"', **options, delay_seconds=2678400)
    wait_until(lambda: outbox.count("outbox_waiting") == 1, what="it waits")
    with contextlib.closing(outbox.connect(user="app")) as connection:
        numbers = [send(connection, "app-keyed", str(number), group_key="customer-7") for number in (1, 2)]
        numbers += [send(connection, "app-keyed", "3", **options)]
        again = send(connection, "app-keyed", "4", **options)
    outbox.wait_for(*numbers, again)
    assert outbox.endpoint.payloads("app-keyed") == [b"1", b"2", b"3"]
    assert outbox.is_left(first)
    outbox.query("DELETE FROM lambda_udf.outbox_waiting")


def test_a_lock_that_anybody_can_take_does_not_stop_delivery(outbox: Outbox) -> None:
    with contextlib.closing(outbox.connect(user="writer")) as connection:
        for name in ("lambda_udf.outbox", "lambda_udf.outbox."):
            assert execute(connection, f"SELECT GET_LOCK('{name}', 0)") == [(1,)]
        before = outbox.sidecar.log_text().count("outbox: delivers")
        outbox.sidecar.stop()
        outbox.sidecar.start()
        started = "the sidecar delivers again"
        wait_until(lambda: outbox.sidecar.log_text().count("outbox: delivers") > before, what=started)
        outbox.wait_for(outbox.send("unlocked"))
    assert len(outbox.endpoint.of("unlocked")) == 1


def test_an_answer_is_kept_if_that_is_asked_for(outbox: Outbox) -> None:
    answer = '{"é": "🐬\\u0000", "n":  1.0}'.encode()
    outbox.endpoint.answer("answers", answering(answer))
    number = outbox.send("answers", keep_result=True)
    outbox.wait_for(number)
    found = outbox.result(number)
    assert found is not None
    assert found["payload"].encode() == answer
    assert (found["status_code"], found["function_error"], found["executed_version"]) == (200, None, "7")
    assert (found["caller"], found["function_name"]) == ("root@localhost", "answers")
    assert re.fullmatch("[0-9a-f-]{36}", found["request_id"])
    (arrival,) = outbox.endpoint.of("answers")
    assert arrival.invocation_type == "RequestResponse"


def test_a_function_that_fails_has_answered(outbox: Outbox) -> None:
    document = b'{"errorType": "KeyError", "errorMessage": "why"}'
    outbox.endpoint.answer("raises", answering(document, function_error="Unhandled"))
    number = outbox.send("raises", keep_result=True)
    outbox.wait_for(number)
    found = outbox.result(number)
    assert found is not None
    assert (found["function_error"], found["payload"].encode()) == ("Unhandled", document)
    assert len(outbox.endpoint.of("raises")) == 1


def test_an_answer_that_is_no_json_is_kept_as_it_is(outbox: Outbox) -> None:
    outbox.endpoint.answer("plain", answering(b"no json, \x00 but text"))
    number = outbox.send("plain", keep_result=True)
    outbox.wait_for(number)
    found = outbox.result(number)
    assert found is not None
    assert found["payload"] == "no json, \x00 but text"


def test_an_answer_replaces_the_one_of_an_earlier_delivery(outbox: Outbox) -> None:
    """As after a crash between Lambda's answer and the commit."""
    outbox.endpoint.answer("twice", answering(b'"second"'))
    gate = Gate()
    outbox.endpoint.answer("twice", held(answering(b'"second"'), gate))
    number = outbox.send("twice", keep_result=True)
    outbox.wait_for_arrivals("twice", 1)
    outbox.query(
        "INSERT INTO lambda_udf.outbox_results (outbox_id, function_name, caller, status_code, payload)"
        " VALUES (%s, 'twice', 'root@localhost', 200, '\"first\"')",
        (number,),
    )
    gate.open()
    outbox.wait_for(number)
    found = outbox.result(number)
    assert found is not None
    assert found["payload"] == '"second"'


def test_an_answer_is_not_kept_unless_that_is_asked_for(outbox: Outbox) -> None:
    outbox.endpoint.answer("unkept", answering(b'"seen"'))
    number = outbox.send("unkept", invocation_type="RequestResponse")
    outbox.wait_for(number)
    assert outbox.result(number) is None
    assert outbox.endpoint.of("unkept")[0].invocation_type == "RequestResponse"


def test_payloads_and_answers_of_six_megabytes_go_both_ways(outbox: Outbox) -> None:
    text = json.dumps("é" * ((6 * 1024 * 1024 - 100) // 2), ensure_ascii=False)
    outbox.endpoint.script("large", lambda arrival: answering(arrival.payload))
    number = outbox.send("large", text, keep_result=True)
    outbox.wait_for(number)
    found = outbox.result(number)
    assert found is not None
    assert found["payload"] == text
    outbox.query("DELETE FROM lambda_udf.outbox_results")


def test_a_durable_event_has_a_name_of_its_own(outbox: Outbox) -> None:
    outbox.endpoint.answer("durable", throttled(), ACCEPTED)
    number = outbox.send("durable", durable=True)
    outbox.wait_for(number)
    names = [arrival.headers["x-amz-durable-execution-name"] for arrival in outbox.endpoint.of("durable")]
    assert len(names) == 2
    assert len(set(names)) == 1
    assert names[0].startswith(f"{number}-")
    assert outbox.endpoint.executions[names[0]] == 1


def test_an_envelope_says_who_sent_it_and_at_which_attempt(outbox: Outbox) -> None:
    outbox.endpoint.answer("envelope", FAILED, ACCEPTED)
    number = outbox.send("envelope", '{"n":  1.0}', envelope=True)
    outbox.wait_for(number)
    first, second = map(json.loads, outbox.endpoint.payloads("envelope"))
    assert second == {**first, "attempt": 2}
    written = datetime.fromisoformat(first["time"])
    microseconds = (written - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    digest = hashlib.sha256(b'root@localhost\0envelope\0{"n":  1.0}').hexdigest()[:24]
    assert first["id"] == f"{number}-{microseconds}-{digest}"
    assert (first["specversion"], first["caller"], first["attempt"]) == ("1.0", "root@localhost", 1)
    assert outbox.endpoint.payloads("envelope")[0].endswith(b'"data": {"n":  1.0}}')
    assert abs(datetime.fromisoformat(first["time"]) - datetime.now(UTC)) < timedelta(seconds=60)


def test_a_dry_run_is_one(outbox: Outbox) -> None:
    outbox.wait_for(outbox.send("dry", invocation_type="DryRun"))
    assert outbox.endpoint.of("dry")[0].invocation_type == "DryRun"


def test_region_qualifier_and_tenant_reach_the_call(outbox: Outbox) -> None:
    outbox.wait_for(
        outbox.send("options", region="eu-west-1", qualifier="prod", tenant_id="tenant 7/é".strip("é"))
    )
    (arrival,) = outbox.endpoint.of("options")
    assert (arrival.region, arrival.qualifier) == ("eu-west-1", "prod")
    assert arrival.headers["x-amz-tenant-id"] == "tenant 7/"


# ---- what fails ----


def test_what_lambda_throttles_is_tried_again_after_its_retry_after(outbox: Outbox) -> None:
    """By its row, which is in its table meanwhile."""
    outbox.endpoint.answer("throttles", throttled(2), ACCEPTED)
    outbox.wait_for(outbox.send("throttles"))
    refused, accepted = outbox.endpoint.of("throttles")
    assert accepted.at - refused.at >= 1.9


@pytest.mark.parametrize(
    "answer",
    [FAILED, HANG_UP, Answer(503), Answer(200, b"<html>no</html>")],
    ids=["500", "hangs up", "503", "a page"],
)
def test_what_may_pass_is_tried_again(outbox: Outbox, answer: Answer, request: pytest.FixtureRequest) -> None:
    function = re.sub("[^a-z0-9]", "-", f"passes-{request.node.callspec.id}")
    outbox.endpoint.answer(function, answer, ACCEPTED)
    number = outbox.send(function)
    outbox.wait_for(number)
    assert len(outbox.endpoint.of(function)) == 2
    assert number not in [each for each, _, _ in outbox.dead()]


def test_a_function_that_is_not_there_kills_the_event_at_once_with_the_reason(outbox: Outbox) -> None:
    outbox.endpoint.answer("missing", NOT_FOUND)
    number = outbox.send("missing")
    outbox.wait_for(number)
    expected = "Lambda API returned error: ResourceNotFoundException: no such function"
    assert (number, expected, 1) in outbox.dead()
    assert len(outbox.endpoint.of("missing")) == 1


def test_an_event_that_cannot_be_read_kills_itself_alone(outbox: Outbox) -> None:
    wrong = outbox.send("wrong", expires_at="2026-02-30 00:00:00")
    outbox.wait_for(wrong, outbox.send("right"))
    (error,) = [error for number, error, _ in outbox.dead() if number == wrong]
    assert error.startswith("options: ")


def test_after_max_attempts_an_event_is_dead_and_can_be_redriven(outbox: Outbox) -> None:
    outbox.endpoint.answer("fails", FAILED)
    number = outbox.send("fails", '{"n": 1}', envelope=True)
    outbox.wait_for(number)
    (found,) = [each for each in outbox.dead() if each[0] == number]
    assert found[1].startswith("given up after 3 attempts: Lambda API returned error: ServiceException")
    assert found[2] == len(outbox.endpoint.of("fails")) == 3
    outbox.endpoint.answer("fails", ACCEPTED)
    outbox.query("CALL lambda_udf.outbox_redrive(%s)", (number,))
    wait_until(lambda: not outbox.is_left(number))
    assert number not in [each for each, _, _ in outbox.dead()]
    again = json.loads(outbox.wait_for_arrivals("fails", 4)[-1].payload)
    assert (again["attempt"], again["data"]) == (1, {"n": 1})


def test_all_dead_events_can_be_redriven_at_once_and_in_their_groups_order(outbox: Outbox) -> None:
    """More of one group than are read at once; they hold up no other."""
    outbox.query("DELETE FROM lambda_udf.outbox_dead")
    outbox.query(
        "INSERT INTO lambda_udf.outbox_dead (id, function_name, payload, options, caller, error)"
        " WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 220)"
        " SELECT 1000000000 + i, 'redrive', i, JSON_OBJECT('group_key', 'redrive'), 'root@localhost', 'e' FROM n"
    )
    outbox.query("CALL lambda_udf.outbox_redrive(NULL)")
    due = "SELECT COUNT(*) FROM lambda_udf.outbox_waiting WHERE due_at IS NOT NULL"
    assert outbox.value(due) <= 1
    assert _delay(outbox, "beside-redrive", delay_seconds=0.01) < 1.5
    outbox.wait_until_delivered()
    assert outbox.endpoint.payloads("redrive") == [str(number).encode() for number in range(1, 221)]
    assert outbox.dead() == []


# ---- one does not hold up another ----


def test_a_slow_function_does_not_hold_up_another(outbox: Outbox) -> None:
    gate = Gate()
    outbox.endpoint.answer("slow", held(ACCEPTED, gate))
    try:
        outbox.query(_rows("slow", 200))
        outbox.wait_for_arrivals("slow", CONCURRENCY // 2)
        delays = [_delay(outbox, "beside-slow") for _ in range(5)]
        assert outbox.endpoint.most_under_way["slow"] == CONCURRENCY // 2
    finally:
        gate.open()
    outbox.wait_until_delivered()
    assert sorted(delays)[2] < 0.2
    assert len(outbox.endpoint.of("slow")) == 200


def test_a_backlog_of_one_function_does_not_hold_up_another(outbox: Outbox) -> None:
    outbox.query(_rows("backlog", 20_000))
    delays = [_delay(outbox, "beside-backlog") for _ in range(5)]
    left = outbox.left()
    outbox.query("DELETE FROM lambda_udf.outbox WHERE function_name = 'backlog'")
    outbox.wait_until_delivered()
    assert left > 5000, "the backlog was over before the others arrived"
    assert sorted(delays)[2] < 0.5


def test_a_throttled_function_does_not_hold_up_another_and_arrives_afterwards(outbox: Outbox) -> None:
    """Plain events and groups of both."""
    outbox.endpoint.answer("busy", throttled())
    outbox.query(_rows("busy", 1500))
    outbox.query(_rows("busy", 100, group=True))
    outbox.wait_for_arrivals("busy", 1)
    delays = [_delay(outbox, "beside-busy") for _ in range(3)]
    delays += [_delay(outbox, "beside-busy", group_key="beside busy") for _ in range(3)]
    outbox.endpoint.answer("busy", ACCEPTED)
    outbox.query("DELETE FROM lambda_udf.outbox WHERE function_name = 'busy'")
    outbox.query("DELETE FROM lambda_udf.outbox_waiting WHERE id % 20 > 0")
    outbox.query("UPDATE lambda_udf.outbox_waiting SET due_at = NOW(6) WHERE due_at IS NOT NULL")
    outbox.wait_until_delivered(seconds=40)
    assert max(delays) < 2
    assert sorted(delays)[3] < 0.5


def test_large_events_are_sent_within_a_bound_of_memory_and_hold_up_no_small_one(outbox: Outbox) -> None:
    gate = Gate()
    functions = [f"heavy-{number}" for number in range(14)]
    for function in functions:
        outbox.endpoint.answer(function, held(answering(b"null"), gate))
        outbox.query(
            "INSERT INTO lambda_udf.outbox (function_name, payload, options)"
            f" SELECT '{function}', CONCAT('\"', REPEAT('x', 6291454), '\"'), JSON_OBJECT('keep_result', true)"
        )
    # 6 MiB are begun while there are less than BYTES_MAX; rows that wait for answers get half of the places.
    most = min(BYTES_MAX // (6 * 1024 * 1024) + 1, CONCURRENCY // 2)
    wait_until(
        lambda: sum(outbox.endpoint.under_way[each] for each in functions) == most, what="all that fit"
    )
    outbox.wait_for(outbox.send("light"))
    assert sum(outbox.endpoint.under_way[each] for each in functions) <= most + 1
    gate.open()
    outbox.wait_until_delivered()
    assert sum(len(outbox.endpoint.of(each)) for each in functions) == 14
    outbox.endpoint.arrivals.clear()


def _rows(function: str, count: int, *, group: bool = False) -> str:
    options = "JSON_OBJECT('group_key', CONCAT('busy ', i))" if group else "NULL"
    return (
        "INSERT INTO lambda_udf.outbox (function_name, payload, options)"
        f" WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
        f" SELECT /*+ SET_VAR(cte_max_recursion_depth = 100000) */ '{function}', '{{}}', {options} FROM n"
    )


def _delay(outbox: Outbox, function: str, **options: Any) -> float:
    """Seconds from the commit of an event to its arrival."""
    before = len(outbox.endpoint.of(function))
    outbox.send(function, **options)
    committed = time.monotonic()
    return outbox.wait_for_arrivals(function, before + 1)[-1].at - committed
