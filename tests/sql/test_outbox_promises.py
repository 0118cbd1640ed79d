"""The outbox's promises where something lasts longer than a call: a transaction, a key, an account, a wait for a slot.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mysql.connector import DatabaseError, errorcode
from tests.support.outbox import ACCOUNT_NAME, GRANTS, Outbox, send, started_outbox
from tests.support.scripted_lambda import ACCEPTED, NOT_FOUND, Answer, Arrival, Gate, held
from tests.support.stack import execute
from tests.support.waiting import wait_until

from lambda_sidecar.config.outbox import OutboxSettings
from lambda_sidecar.outbox import changes
from lambda_sidecar.outbox.session import connect
from lambda_sidecar.testing.sidecar import SidecarProcess

CONCURRENCY = 16
# Each differs from another one by what a collation, a trimming or an escape could take for nothing.
KEYS = (
    *("k", "K", "k ", " k", "k\t", "k\0", "k\n", "ｋ", "ķ", "k\u0327", "'", "\\", '"', "%", "_", "🐬" * 128),
    *("null", "NULL", "0", "$.k"),
)
# Of performance_schema: asked where ids are missing and 10 s have passed, and every 10 s then.
LOOKED_FOR_A_LOCK = (
    "SELECT COALESCE(SUM(COUNT_STAR), 0) FROM performance_schema.events_statements_summary_by_digest"
    " WHERE DIGEST_TEXT LIKE '%lambda_udf%outbox%NOWAIT%'"
)


@pytest.fixture(scope="module")
def running(mysql_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outbox]:
    directory = tmp_path_factory.mktemp("promises")
    with started_outbox(
        mysql_home, directory, max_concurrency=CONCURRENCY, outbox={"concurrency": 2 * CONCURRENCY}
    ) as made:
        made.query("CREATE ROLE IF NOT EXISTS AWS_LAMBDA_ACCESS")
        yield made
        assert "Traceback" not in made.sidecar.log_text()


@pytest.fixture
def outbox(running: Outbox) -> Outbox:
    """It delivers, and nothing is left of a test before."""
    running.wait_for(running.send("ready"))
    running.clear()
    running.endpoint.arrivals.clear()
    return running


# ---- a transaction ----


def test_a_row_whose_transaction_ends_long_after_those_of_later_ids_is_delivered_and_before_its_key(
    outbox: Outbox,
) -> None:
    """By then its id is looked for no more, unless its lock is met."""
    with contextlib.closing(outbox.connect(autocommit=False)) as connection:
        late = [send(connection, "late", "1"), send(connection, "late-keyed", "1", group_key="k")]
        later = [outbox.send("late", "2"), outbox.send("late-keyed", "2", group_key="k")]
        assert max(late) < min(later)
        outbox.wait_for(*later)
        looked = outbox.value(LOOKED_FOR_A_LOCK)
        wait_until(
            lambda: outbox.value(LOOKED_FOR_A_LOCK) >= looked + 1, seconds=30, what="the first 10 s are over"
        )
        connection.commit()
    outbox.wait_for(*late, outbox.send("late-keyed", "3", group_key="k"))
    assert outbox.endpoint.payloads("late") == [b"2", b"1"]
    assert outbox.endpoint.payloads("late-keyed") == [b"2", b"1", b"3"]


# ---- a key ----


@pytest.mark.parametrize("end", [SidecarProcess.stop, SidecarProcess.kill], ids=["stopped", "killed"])
def test_a_deduplication_key_is_remembered_when_the_sidecar_and_the_server_are_started_again(
    outbox: Outbox, end: object, request: pytest.FixtureRequest
) -> None:
    function = f"once-{request.node.callspec.id}"
    outbox.wait_for(outbox.send(function, "1", deduplication_key="k"))
    assert callable(end)
    end(outbox.sidecar)
    outbox.mysqld.restart()
    again = outbox.send(function, "2", deduplication_key="k")
    outbox.sidecar.start()
    outbox.wait_for(again, outbox.send(function, "3", deduplication_key="k"), outbox.send(function, "4"))
    assert outbox.endpoint.payloads(function) == [b"1", b"4"]
    assert outbox.dead() == []


def test_group_keys_that_differ_at_all_do_not_wait_for_each_other(outbox: Outbox) -> None:
    gate = Gate()
    outbox.endpoint.answer("odd", held(ACCEPTED, gate))
    outbox.endpoint.answer("odd-too", held(ACCEPTED, gate))
    functions = ("odd", "odd-too")  # one alone would get half of the room
    try:
        for number, key in enumerate(KEYS[:CONCURRENCY]):
            outbox.send(functions[number % 2], json.dumps([number, 1]), group_key=key)
            outbox.send(functions[number % 2], json.dumps([number, 2]), group_key=key)
        wait_until(
            lambda: sum(len(outbox.endpoint.of(name)) for name in functions) == CONCURRENCY,
            what="each has one",
        )
    finally:
        gate.open()
    outbox.wait_until_delivered()
    for key in KEYS[CONCURRENCY:]:
        outbox.send("odd", json.dumps([KEYS.index(key), 1]), group_key=key)
        outbox.send("odd", json.dumps([KEYS.index(key), 2]), group_key=key)
    outbox.wait_until_delivered()
    arrived = [json.loads(payload) for name in functions for payload in outbox.endpoint.payloads(name)]
    for number in range(len(KEYS)):
        assert [place for each, place in arrived if each == number] == [1, 2]


def test_deduplication_keys_that_differ_at_all_are_two(outbox: Outbox) -> None:
    for key in (*KEYS, *KEYS):
        outbox.send("odd-once", json.dumps(KEYS.index(key)), deduplication_key=key)
    outbox.wait_until_delivered()
    arrived = Counter(json.loads(payload) for payload in outbox.endpoint.payloads("odd-once"))
    assert arrived == dict.fromkeys(range(len(KEYS)), 1)


async def test_results_and_keys_are_forgotten_after_their_time_and_not_before(outbox: Outbox) -> None:
    outbox.wait_for(
        *(outbox.send("kept", deduplication_key=f"{number}", keep_result=True) for number in range(4))
    )
    for table, column, number in (
        ("outbox_results", "answered_at", "outbox_id"),
        ("outbox_deduplication", "seen_at", "outbox_id"),
    ):
        rows = outbox.query(f"SELECT {number} FROM lambda_udf.{table} ORDER BY 1")
        assert len(rows) == 4
        for (row,), hours in zip(rows, (0, 11, 13, 400), strict=True):
            outbox.query(
                f"UPDATE lambda_udf.{table} SET {column} = {column} - INTERVAL {hours} HOUR WHERE {number} = {row}"
            )
    session = await connect(OutboxSettings(mysql_socket=outbox.mysqld.socket, user=ACCOUNT_NAME))
    try:
        gone = [await session.run(statement) for statement in changes.forget(0.5, 12.0)]
    finally:
        await session.close()
    assert gone == [2, 2]


# ---- an account ----


def test_after_the_account_that_delivers_was_dropped_and_made_again_all_goes_on(outbox: Outbox) -> None:
    gate = Gate()
    outbox.endpoint.answer("without-account", held(ACCEPTED, gate))
    under_way = outbox.send("without-account", "1")
    outbox.wait_for_arrivals("without-account", 1)
    lost = "outbox: the connection that settles is lost"
    before = outbox.sidecar.log_text().count(lost)
    outbox.query(f"DROP USER {ACCOUNT_NAME}@localhost")
    try:
        connections = "SELECT PROCESSLIST_ID FROM performance_schema.threads WHERE PROCESSLIST_USER = %s"
        for (number,) in outbox.query(connections, (ACCOUNT_NAME,)):
            with contextlib.suppress(DatabaseError):  # it has closed that one by itself
                outbox.query(f"KILL {number}")
        waiting = outbox.send("without-account", "2")
        gate.open()
        # The server does not say that there is no such account: it asks for the password of one by some plugin.
        wait_until(lambda: outbox.sidecar.log_text().count(lost) >= before + 2, what="it may not connect")
        assert outbox.is_left(under_way)
    finally:
        outbox.query(f"CREATE USER {ACCOUNT_NAME}@localhost")
        for statement in GRANTS:
            outbox.query(statement)
    outbox.wait_for(under_way, waiting)
    assert outbox.endpoint.payloads("without-account") == [b"1", b"2"]


def test_an_event_is_delivered_though_the_account_that_wrote_it_is_dropped_or_another_by_now(
    outbox: Outbox,
) -> None:
    def make() -> None:
        outbox.query("CREATE USER short@localhost")
        outbox.query("GRANT AWS_LAMBDA_ACCESS TO short@localhost")
        outbox.query("SET DEFAULT ROLE AWS_LAMBDA_ACCESS TO short@localhost")

    make()
    with contextlib.closing(outbox.connect(user="short", database=None)) as connection:
        number = send(connection, "short", '"before"', delay_seconds=1, group_key="k")
    outbox.query("DROP USER short@localhost")
    outbox.wait_for(number)
    make()
    with contextlib.closing(outbox.connect(user="short", database=None)) as connection:
        outbox.wait_for(send(connection, "short", '"after"', group_key="k", envelope=True))
    outbox.query("DROP USER short@localhost")
    first, second = outbox.endpoint.payloads("short")
    assert first == b'"before"'
    assert json.loads(second)["caller"] == "short@localhost"


# ---- a dump, and a session's mode ----


def test_events_of_a_dump_are_sent_where_it_is_restored_each_as_it_was(outbox: Outbox) -> None:
    outbox.endpoint.answer("dumped-dies", NOT_FOUND)
    dead = outbox.send("dumped-dies", '"dead"')
    outbox.wait_for(dead)
    outbox.send("dumped", '"delayed \\u00e9 é 🐬"', delay_seconds=5, group_key="k", envelope=True)
    wait_until(lambda: outbox.count("outbox_waiting") == 1, what="it waits")
    outbox.sidecar.stop()
    behind = outbox.send("dumped", '"behind"', group_key="k")
    outbox.send("dumped-plain", " [1.0,  2] ")
    dump = outbox.mysqld.client("--databases", "lambda_udf", program="mysqldump")
    assert dump.returncode == 0, dump.stderr
    outbox.clear()
    restored = outbox.mysqld.client(input=dump.stdout)
    assert restored.returncode == 0, restored.stderr
    outbox.sidecar.start()
    outbox.wait_until_delivered()
    enveloped, second = outbox.endpoint.payloads("dumped")
    assert json.loads(enveloped)["data"] == "delayed \u00e9 é 🐬"
    assert second == b'"behind"'
    assert outbox.endpoint.payloads("dumped-plain") == [b" [1.0,  2] "]
    assert [number for number, _, _ in outbox.dead()] == [dead]
    assert outbox.send("dumped-plain") > behind


@pytest.mark.parametrize("mode", ["skip", "deny"])
def test_a_sessions_mode_does_not_reach_the_outbox(outbox: Outbox, mode: str) -> None:
    function = f"mode-{mode}"
    with contextlib.closing(outbox.connect()) as connection:
        execute(connection, f"SET SESSION lambda_udf.mode = '{mode}'")
        execute(connection, f"SELECT lambda_udf.lambda_async('{function}', '1')")
        send(connection, function, "2")
    outbox.wait_for_arrivals(function, 2)
    outbox.wait_until_delivered()
    assert sorted(outbox.endpoint.payloads(function)) == [b"1", b"2"]


# ---- a wait ----


def test_an_event_that_expires_while_it_waits_for_a_slot_is_dead_and_never_sent(outbox: Outbox) -> None:
    gate = Gate()
    busy = ("busy", "busy-too", "busy-three")
    for function in busy:
        outbox.endpoint.answer(function, held(ACCEPTED, gate))
    try:
        for number in range(CONCURRENCY):
            outbox.send(busy[number % 3])
        wait_until(
            lambda: sum(len(outbox.endpoint.of(name)) for name in busy) == CONCURRENCY, what="all slots taken"
        )
        expires = time.time() + 2
        text = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        number = outbox.send("expires", expires_at=text)
        wait_until(lambda: time.time() > expires + 0.1, what="it has expired")
    finally:
        gate.open()
    outbox.wait_for(number, seconds=40)
    assert outbox.endpoint.of("expires") == []
    ((dead, error, attempts),) = outbox.dead()
    assert (dead, attempts) == (number, 0)
    assert error == "expired: expires_at has passed before Lambda accepted it"


# ---- dead and alive again ----


def test_what_is_redriven_while_events_are_under_way_arrives_once_and_none_is_lost(outbox: Outbox) -> None:
    """Some die again, some more than once, some of one key: all as often as the endpoint has refused them."""
    count, refusals = 60, Counter[bytes]()

    def refuse_twice(arrival: Arrival) -> Answer:
        refusals[arrival.payload] += 1
        return NOT_FOUND if refusals[arrival.payload] <= 2 else ACCEPTED

    outbox.endpoint.script("redriven", refuse_twice)
    with contextlib.closing(outbox.connect()) as connection:
        for number in range(count):
            options = {"group_key": f"k{number % 4}"} if number % 2 else {}
            send(connection, "redriven", str(number), **options)

        def all_accepted() -> bool:
            try:
                execute(connection, "CALL lambda_udf.outbox_redrive(NULL)")
            except DatabaseError as error:  # events die meanwhile: it may be the victim of a deadlock
                assert error.errno == errorcode.ER_LOCK_DEADLOCK
            return outbox.left() == 0 and outbox.count("outbox_dead") == 0

        wait_until(all_accepted, seconds=40, what="all are accepted")
    assert refusals == {str(number).encode(): 3 for number in range(count)}
