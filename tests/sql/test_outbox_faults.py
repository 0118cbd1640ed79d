"""The outbox while parts stop, die, lose rights or are changed: it recovers by itself, loses nothing, doubles nothing.

Each test's name is the sentence that it proves. What may be doubled, where a sidecar dies, tests/chaos/ counts."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from mysql.connector import DatabaseError, errorcode
from tests.support.invoker_client import snapshot
from tests.support.outbox import ACCOUNT_NAME, Outbox, another_sidecar, send, started_outbox
from tests.support.scripted_lambda import ACCEPTED, NOT_FOUND, Gate, answering, held, throttled
from tests.support.stack import execute
from tests.support.waiting import wait_until

from lambda_sidecar.outbox import election
from lambda_sidecar.outbox.refusals import LOCKED_MANY
from lambda_sidecar.testing.sidecar import SidecarProcess

DRAIN_SECONDS = 10
HELD = 4


@pytest.fixture(scope="module")
def running(mysql_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outbox]:
    directory = tmp_path_factory.mktemp("faults")
    with started_outbox(
        mysql_home, directory, drain_seconds=DRAIN_SECONDS, outbox={"concurrency": 20}
    ) as made:
        yield made
        assert "Traceback" not in made.sidecar.log_text()


@pytest.fixture
def outbox(running: Outbox) -> Outbox:
    """It delivers, and nothing is left of a test before."""
    running.wait_for(running.send("ready"))
    running.clear()
    running.endpoint.arrivals.clear()
    return running


@contextlib.contextmanager
def under_way(outbox: Outbox, function: str) -> Iterator[list[int]]:
    """So many events that Lambda has and has not answered; at the end it has. Each arrives once."""
    gate = Gate()
    outbox.endpoint.answer(function, held(ACCEPTED, gate))
    try:
        numbers = [outbox.send(function, json.dumps(each)) for each in range(HELD)]
        outbox.wait_for_arrivals(function, HELD)
        yield numbers
    finally:
        gate.open()
    outbox.wait_for(*numbers)
    assert arrived(outbox, function) == {str(each): 1 for each in range(HELD)}


def arrived(outbox: Outbox, function: str) -> Counter[str]:
    return Counter(payload.decode() for payload in outbox.endpoint.payloads(function))


def delivers(outbox: Outbox, function: str) -> None:
    """One more event arrives, once."""
    outbox.wait_for(outbox.send(function))
    assert len(outbox.endpoint.of(function)) == 1


def connections(outbox: Outbox) -> list[int]:
    rows = outbox.query(
        "SELECT PROCESSLIST_ID FROM performance_schema.threads WHERE PROCESSLIST_USER = %s", (ACCOUNT_NAME,)
    )
    return [number for (number,) in rows]


def kill_connections(outbox: Outbox) -> None:
    """All of the sidecar's. It closes some by itself as soon as it has lost another."""
    for number in connections(outbox):
        try:
            outbox.query(f"KILL {number}")
        except DatabaseError as error:
            if error.errno != errorcode.ER_NO_SUCH_THREAD:
                raise


def lock_holder(outbox: Outbox) -> int | None:
    holder = outbox.value(f"SELECT IS_USED_LOCK({election.LOCK})")
    return None if holder is None else int(holder)


# ---- sidecars ----


@pytest.mark.parametrize("end", [SidecarProcess.stop, SidecarProcess.kill], ids=["stopped", "killed"])
def test_another_sidecar_takes_over_when_the_one_that_delivers_is(
    outbox: Outbox, tmp_path: Path, end: object, request: pytest.FixtureRequest
) -> None:
    function = f"taken-over-{request.node.callspec.id}"
    with another_sidecar(outbox, tmp_path) as other:
        holder = lock_holder(outbox)
        waiting = "SELECT COUNT(*) FROM performance_schema.metadata_locks WHERE LOCK_STATUS = 'PENDING'"
        wait_until(lambda: outbox.value(waiting) == 1, what="the other one waits for the lock")
        delivers(outbox, f"{function}-before")
        assert "outbox: delivers" not in other.log_text()
        assert callable(end)
        end(outbox.sidecar)
        delivers(outbox, function)
        assert lock_holder(outbox) not in (None, holder)
        outbox.sidecar.start()
    delivers(outbox, f"{function}-again")


def test_who_delivers_is_elected_anew_where_the_tables_were_made_anew(outbox: Outbox) -> None:
    """Otherwise another sidecar would be elected beside it: the new tables' lock has another name."""
    wait_until(lambda: lock_holder(outbox), what="somebody delivers")
    outbox.query("UPDATE lambda_udf.outbox_lock SET token = HEX(RANDOM_BYTES(16))")
    assert lock_holder(outbox) is None
    wait_until(lambda: lock_holder(outbox), what="it has the lock of the new tables")
    delivers(outbox, "made-anew")


def test_a_sidecar_that_is_stopped_lets_what_is_under_way_end_and_begins_nothing_more(outbox: Outbox) -> None:
    gate = Gate()
    outbox.endpoint.answer("drained", held(ACCEPTED, gate))
    outbox.query(
        "INSERT INTO lambda_udf.outbox (function_name, payload)"
        " WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) SELECT 'drained', i FROM n"
    )
    outbox.hint()
    outbox.wait_for_arrivals("drained", 10)
    stops = outbox.sidecar.log_text().count("stopping;")
    stopping = threading.Thread(target=outbox.sidecar.stop)
    stopping.start()
    try:
        wait_until(lambda: outbox.sidecar.log_text().count("stopping;") > stops, what="it stops")
    finally:
        gate.open()
        stopping.join()
        arrivals, left = len(outbox.endpoint.of("drained")), outbox.count()
        outbox.sidecar.start()
    assert (arrivals, left) == (10, 40)
    outbox.wait_until_delivered()
    assert arrived(outbox, "drained") == {str(each): 1 for each in range(1, 51)}


# ---- the server ----


def test_rows_under_way_are_settled_after_the_server_was_restarted(outbox: Outbox) -> None:
    with under_way(outbox, "restarted"):
        outbox.mysqld.restart()
    delivers(outbox, "after-restart")


def test_rows_under_way_are_settled_after_the_connections_were_killed(outbox: Outbox) -> None:
    with under_way(outbox, "cut-off"):
        kill_connections(outbox)
        wait_until(lambda: lock_holder(outbox) is not None, what="the lock is taken again")
    delivers(outbox, "after-kill")


def test_from_a_server_that_is_read_only_nothing_is_sent_until_it_is_not(outbox: Outbox) -> None:
    with under_way(outbox, "read-only-meanwhile"):
        outbox.query("SET GLOBAL read_only = ON")
        try:
            says_so = "outbox: the server is read-only"
            wait_until(lambda: says_so in outbox.sidecar.log_text(), what=says_so)
            number = outbox.send("read-only")  # by root, who still may
        finally:
            outbox.query("SET GLOBAL read_only = OFF")
        assert outbox.endpoint.of("read-only") == []
    outbox.wait_for(number)
    assert len(outbox.endpoint.of("read-only")) == 1


@pytest.mark.parametrize("right", ["SELECT", "DELETE"])
def test_after_a_right_was_taken_away_and_given_back_all_goes_on(outbox: Outbox, right: str) -> None:
    before = outbox.sidecar.log_text().count("denied")
    with under_way(outbox, f"without-{right}"):
        outbox.query(f"REVOKE {right} ON lambda_udf.outbox FROM {ACCOUNT_NAME}@localhost")
        number = outbox.send(f"meanwhile-{right}")
        try:
            wait_until(lambda: outbox.sidecar.log_text().count("denied") > before, what="it is logged")
        finally:
            outbox.query(f"GRANT {right} ON lambda_udf.outbox TO {ACCOUNT_NAME}@localhost")
    outbox.wait_for(number)
    assert len(outbox.endpoint.of(f"meanwhile-{right}")) == 1


@pytest.mark.parametrize(
    ("right", "table"), [("DELETE", "outbox"), ("INSERT", "outbox_dead"), ("UPDATE", "outbox_waiting")]
)
def test_a_sidecar_whose_account_lacks_a_right_sends_nothing_and_names_it_until_it_is_given(
    outbox: Outbox, right: str, table: str
) -> None:
    """Else what cannot be settled would be sent again after each restart."""
    function = f"lacks-{right}"
    opened = f"SELECT TOTAL_CONNECTIONS FROM performance_schema.accounts WHERE USER = '{ACCOUNT_NAME}'"
    account = f"'{ACCOUNT_NAME}'@'localhost'"
    outbox.sidecar.stop()
    outbox.query(f"REVOKE {right} ON lambda_udf.{table} FROM {account}")
    try:
        numbers = [outbox.send(function, str(each)) for each in range(HELD)]
        outbox.sidecar.start()
        why = f"the account lacks rights: GRANT {right} ON lambda_udf.{table} TO {account}"
        wait_until(lambda: why in snapshot(outbox.sidecar.socket).outbox.state, what="the state names it")
        before = outbox.value(opened)
        wait_until(lambda: outbox.value(opened) > before + HELD, what="elections go on")
        assert why in snapshot(outbox.sidecar.socket).outbox.state
        assert outbox.sidecar.log_text().count(why) == 1
        assert outbox.endpoint.of(function) == []
    finally:
        outbox.query(f"GRANT {right} ON lambda_udf.{table} TO {account}")
    outbox.wait_for(*numbers)
    assert arrived(outbox, function) == {str(each): 1 for each in range(HELD)}


def test_a_table_that_somebody_has_locked_keeps_no_sidecar_from_delivering_without_it(outbox: Outbox) -> None:
    """Nor does its lock hide what the account may do there: mysqld looks at rights first."""
    outbox.sidecar.stop()
    with contextlib.closing(outbox.connect()) as connection:
        execute(connection, "LOCK TABLES lambda_udf.outbox_results READ")
        outbox.sidecar.start()
        delivers(outbox, "beside-a-lock")


def test_ids_that_begin_again_after_truncate_are_other_events(outbox: Outbox) -> None:
    gate = Gate()
    outbox.query("TRUNCATE TABLE lambda_udf.outbox")
    outbox.endpoint.answer("truncated", held(ACCEPTED, gate))
    old = [outbox.send("truncated", "0") for _ in range(3)]
    outbox.wait_for_arrivals("truncated", 3)
    outbox.query("TRUNCATE TABLE lambda_udf.outbox")
    new = [outbox.send("truncated-new", "0") for _ in range(5)]
    assert old == new[:3]
    gate.open()
    outbox.wait_until_delivered()
    assert len(outbox.endpoint.of("truncated-new")) == 5
    assert len(outbox.endpoint.of("truncated")) == 3


def test_the_tables_may_be_altered_while_events_come_and_go(outbox: Outbox) -> None:
    numbers = range(300)

    def write() -> None:
        with contextlib.closing(outbox.connect()) as connection:
            for number in numbers:
                send(
                    connection, "altered", str(number), **({"delay_seconds": 0.1} if number % 10 == 0 else {})
                )

    writing = threading.Thread(target=write)
    writing.start()
    for table in ("outbox", "outbox_waiting", "outbox_dead"):
        outbox.query(f"ALTER TABLE lambda_udf.{table} ENGINE = InnoDB")
        outbox.query(f"ALTER TABLE lambda_udf.{table} ADD COLUMN note INT NULL, ALGORITHM = INSTANT")
        outbox.query(f"ALTER TABLE lambda_udf.{table} DROP COLUMN note")
    writing.join()
    outbox.hint()
    outbox.wait_until_delivered()
    assert arrived(outbox, "altered") == {str(number): 1 for number in numbers}


# ---- single rows that cannot be settled ----


def test_rows_that_cannot_be_settled_hold_up_no_other_and_are_settled_when_that_is_over(
    outbox: Outbox,
) -> None:
    """One that somebody has locked, and one whose place among the dead is taken, as when ids began again after a
    TRUNCATE."""
    outbox.endpoint.answer("dies", NOT_FOUND)
    with contextlib.closing(outbox.connect(autocommit=False)) as connection:
        locked = outbox.send("locked", delay_seconds=0.2)
        wait_until(lambda: outbox.count("outbox_waiting") == 1, what="it waits")
        execute(connection, "SELECT id FROM lambda_udf.outbox_waiting WHERE id = %s FOR UPDATE", (locked,))
        outbox.query(
            "INSERT INTO lambda_udf.outbox_dead (id, function_name, payload, caller, error)"
            " VALUES (%s, 'dies', '\"old\"', 'root@localhost', 'old')",
            (locked + 1,),
        )
        taken = outbox.send("dies", '"new"')
        assert taken == locked + 1
        outbox.wait_for_arrivals("locked", 1)
        outbox.wait_for_arrivals("dies", 1)
        outbox.wait_for(*(outbox.send("lives") for _ in range(20)))
        assert outbox.is_left(locked)
        assert outbox.is_left(taken)
        assert [error for _, error, _ in outbox.dead()] == ["old"]
        connection.rollback()
    outbox.query("DELETE FROM lambda_udf.outbox_dead")
    outbox.wait_for(locked, taken)
    assert [number for number, _, _ in outbox.dead()] == [taken]
    assert {name: len(outbox.endpoint.of(name)) for name in ("locked", "dies", "lives")} == {
        "locked": 1,
        "dies": 1,
        "lives": 20,
    }


def test_a_stop_does_not_wait_for_a_row_whose_own_values_are_refused(outbox: Outbox) -> None:
    outbox.endpoint.answer("refused", NOT_FOUND)
    number = outbox.send("first") + 1
    outbox.query(
        "INSERT INTO lambda_udf.outbox_dead (id, function_name, payload, caller, error)"
        " VALUES (%s, 'old', '1', 'root@localhost', 'old')",
        (number,),
    )
    said = outbox.sidecar.log_text().count("the server refuses to settle")
    assert outbox.send("refused") == number
    wait_until(
        lambda: outbox.sidecar.log_text().count("the server refuses to settle") > said, what="it is refused"
    )
    began = time.monotonic()
    outbox.sidecar.stop()
    took = time.monotonic() - began
    outbox.sidecar.start()
    assert took < DRAIN_SECONDS / 2
    outbox.query("DELETE FROM lambda_udf.outbox_dead")
    outbox.wait_for(number)


def test_rows_that_somebody_has_locked_are_settled_when_they_are_not_and_hold_up_no_others_meanwhile(
    outbox: Outbox,
) -> None:
    """As an open DELETE of a function's events locks them. Each would cost a second, whoever waits behind it."""
    outbox.sidecar.stop()
    count = 150
    outbox.query(
        "INSERT INTO lambda_udf.outbox (function_name, payload) WITH RECURSIVE n (i) AS"
        f" (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT 'many-locked', i FROM n"
    )
    with contextlib.closing(outbox.connect(autocommit=False)) as connection:
        execute(connection, "SET SESSION transaction_isolation = 'READ-COMMITTED'")
        execute(connection, "DELETE FROM lambda_udf.outbox WHERE function_name = 'many-locked'")
        outbox.sidecar.start()
        outbox.wait_for_arrivals("many-locked", 20)
        for _ in range(3):
            outbox.wait_for(*(outbox.send("not-locked") for _ in range(10)), seconds=4)
        assert outbox.count() == count
        connection.rollback()
    outbox.wait_until_delivered(seconds=30)
    assert arrived(outbox, "many-locked") == {str(each): 1 for each in range(1, count + 1)}


def test_however_many_rows_of_a_function_are_locked_others_are_sent(outbox: Outbox) -> None:
    outbox.sidecar.stop()
    outbox.query(
        "INSERT INTO lambda_udf.outbox (function_name, payload) WITH RECURSIVE n (i) AS"
        " (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000), two (j) AS (SELECT 0 UNION ALL SELECT 1)"
        " SELECT 'all-locked', i FROM n, two"
    )
    with contextlib.closing(outbox.connect(autocommit=False)) as connection:
        execute(connection, "SET SESSION transaction_isolation = 'READ-COMMITTED'")
        execute(connection, "DELETE FROM lambda_udf.outbox WHERE function_name = 'all-locked'")
        outbox.sidecar.start()
        # Of more, some are sent before that is known, and then one at a time.
        outbox.wait_for_arrivals("all-locked", LOCKED_MANY + 1)
        outbox.wait_for(*(outbox.send("others") for _ in range(10)), seconds=8)
        connection.commit()
    outbox.wait_until_delivered(seconds=30)


def test_rows_that_wait_for_a_lock_on_something_else_hold_up_no_others(outbox: Outbox) -> None:
    """On a deduplication key, which no row of the outbox shows."""
    with contextlib.closing(outbox.connect(autocommit=False)) as connection:
        execute(connection, "SET SESSION transaction_isolation = 'READ-COMMITTED'")
        execute(
            connection,
            "INSERT INTO lambda_udf.outbox_deduplication (caller, function_name, deduplication_key, outbox_id)"
            " VALUES ('root@localhost', 'deduplicated', 'k', 1)",
        )
        number = outbox.send("deduplicated", deduplication_key="k")
        for _ in range(3):
            outbox.wait_for(*(outbox.send("meanwhile") for _ in range(10)), seconds=8)
        assert outbox.is_left(number)
        connection.rollback()
    outbox.wait_for(number)
    assert len(outbox.endpoint.of("deduplicated")) == 1


def test_while_a_table_is_locked_that_one_row_needs_others_are_settled_and_a_crash_doubles_that_row_alone(
    outbox: Outbox,
) -> None:
    """LOCK TABLES, or an ALTER TABLE behind a reader: InnoDB's time for row locks does not end that wait."""
    with contextlib.closing(outbox.connect()) as connection:
        execute(connection, "LOCK TABLES lambda_udf.outbox_results READ")
        number = outbox.send("kept", keep_result=True)
        outbox.wait_for_arrivals("kept", 1)
        outbox.wait_for(*(outbox.send("plain", json.dumps(each)) for each in range(30)), seconds=15)
        assert outbox.is_left(number)
        outbox.sidecar.kill()
        outbox.sidecar.start()
        outbox.wait_for(outbox.send("later"), seconds=15)
        execute(connection, "UNLOCK TABLES")
    outbox.wait_for(number)
    assert arrived(outbox, "plain") == {str(each): 1 for each in range(30)}
    assert len(outbox.endpoint.of("kept")) == 2


def test_a_row_that_could_only_wait_beyond_the_last_timestamp_holds_up_no_other(outbox: Outbox) -> None:
    with contextlib.closing(outbox.connect()) as connection:
        execute(connection, "SET timestamp = 2147483000")
        numbers = [send(connection, "far", delay_seconds=2678400) for _ in range(20)]
    outbox.wait_for(outbox.send("near"))
    wait_until(lambda: outbox.count("outbox_waiting") == len(numbers), what="they wait")
    due = "SELECT DISTINCT UNIX_TIMESTAMP(due_at) FROM lambda_udf.outbox_waiting"
    assert [int(moment) for (moment,) in outbox.query(due)] == [2147483647]
    assert outbox.endpoint.of("far") == []
    outbox.clear()


def test_a_row_whose_place_among_the_waiting_is_taken_is_dead_with_the_reason(outbox: Outbox) -> None:
    number = outbox.send("first")
    taken = number + 1
    outbox.query(
        "INSERT INTO lambda_udf.outbox_waiting (id, function_name, payload, caller, due_at)"
        " VALUES (%s, 'waits', '\"old\"', 'root@localhost', NOW(6) + INTERVAL 1 DAY)",
        (taken,),
    )
    assert outbox.send("new", '"new"', group_key="k") == taken
    behind = outbox.send("behind", group_key="k")
    outbox.wait_for(behind)
    ((dead, error, _),) = outbox.dead()
    assert dead == taken
    assert error.startswith("the server refuses to let it wait: Duplicate entry")
    assert f"outbox: row {taken} is dead after 0 attempts" in outbox.sidecar.log_text()
    assert [row.payload for row in outbox.endpoint.of("behind")] == [b"{}"]
    outbox.clear()


def test_rows_behind_one_of_their_key_that_is_refused_wait_for_it(outbox: Outbox) -> None:
    number = outbox.send("first")
    taken = number + 1
    for table, column in (("outbox_waiting", "due_at"), ("outbox_dead", "died_at")):
        error = ", error" if table == "outbox_dead" else ""
        outbox.query(
            f"INSERT INTO lambda_udf.{table} (id, function_name, payload, caller, {column}{error})"
            " VALUES (%s, 'old', '{}', 'root@localhost', NOW(6) + INTERVAL 1 DAY"
            + (", 'old'" if error else "")
            + ")",
            (taken,),
        )
    assert outbox.send("ordered", "1", group_key="k") == taken
    others = [outbox.send("ordered", str(each), group_key="k") for each in (2, 3)]
    outbox.wait_for(*(outbox.send("free") for _ in range(20)))
    assert outbox.endpoint.of("ordered") == []
    outbox.query("DELETE FROM lambda_udf.outbox_waiting WHERE id = %s AND function_name = 'old'", (taken,))
    outbox.query("DELETE FROM lambda_udf.outbox_dead")
    outbox.wait_for(taken, *others, seconds=40)
    assert outbox.endpoint.payloads("ordered") == [b"1", b"2", b"3"]


def test_a_key_goes_on_after_its_first_row_was_deleted_by_hand(outbox: Outbox) -> None:
    head = outbox.send("deleted", group_key="k", delay_seconds=1000)
    next_one = outbox.send("next", group_key="k")
    wait_until(lambda: outbox.count("outbox_waiting") == 2, what="both wait")
    outbox.query("DELETE FROM lambda_udf.outbox_waiting WHERE id = %s", (head,))
    outbox.wait_for(next_one)
    assert len(outbox.endpoint.of("next")) == 1


def test_all_keys_that_wait_since_before_the_start_are_found_however_many_they_are(outbox: Outbox) -> None:
    """They are looked for some at a time, and no time stands in any of these rows."""
    outbox.sidecar.stop()
    outbox.query(
        "INSERT INTO lambda_udf.outbox_waiting (id, function_name, payload, caller, group_key)"
        " WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)"
        " SELECT 1000000 + i, 'many-keys', i, CONCAT('account', i DIV 300, '@%'),"
        " CONCAT('key', i DIV 2, IF(i % 2, ' ', '')) FROM n"
    )
    outbox.sidecar.start()
    outbox.wait_until_delivered()
    assert arrived(outbox, "many-keys") == {str(each): 1 for each in range(1, 901)}


def test_an_options_error_is_found_again_when_the_row_is_redriven(outbox: Outbox) -> None:
    number = outbox.send("wrong", expires_at="2026-02-30 00:00:00")
    outbox.wait_for(number)
    outbox.query("CALL lambda_udf.outbox_redrive(%s)", (number,))
    outbox.wait_for(number)
    assert [each for each, _, _ in outbox.dead()] == [number]
    assert outbox.endpoint.of("wrong") == []


def test_an_answer_larger_than_a_packet_is_left_out_and_holds_up_no_other(outbox: Outbox) -> None:
    outbox.endpoint.answer("talks", answering(b'"' + b"x" * 5_000_000 + b'"'))
    before = outbox.value("SELECT @@global.max_allowed_packet")
    outbox.query("SET GLOBAL max_allowed_packet = 4194304")
    try:
        kill_connections(outbox)
        outbox.wait_for(outbox.send("after-the-new-limit"))
        talks = outbox.send("talks", keep_result=True)
        outbox.wait_for(talks, outbox.send("other"))
    finally:
        outbox.query(f"SET GLOBAL max_allowed_packet = {before}")
    result = outbox.result(talks)
    assert result is not None
    assert (result["status_code"], result["payload"], result["function_error"]) == (
        200,
        None,
        "ResultTooLarge",
    )
    assert len(outbox.endpoint.of("talks")) == 1


def test_a_sidecar_that_loses_the_lock_delivers_again_and_doubles_nothing(outbox: Outbox) -> None:
    with under_way(outbox, "lock-lost"):
        holder = lock_holder(outbox)
        outbox.query(f"KILL {holder}")
        wait_until(lambda: lock_holder(outbox) not in (None, holder), what="the lock is taken again")
    delivers(outbox, "after-lock-lost")


def test_events_are_delivered_also_where_the_binary_log_holds_statements(
    mysql_home: Path, tmp_path: Path
) -> None:
    """InnoDB refuses READ COMMITTED there whatever writes or locks (error 1665)."""
    options = ("--log-bin=bin", "--server-id=1", "--binlog-format=STATEMENT")
    with started_outbox(mysql_home, tmp_path, options=options) as outbox:
        outbox.endpoint.answer("again", throttled(0), ACCEPTED)
        outbox.endpoint.answer("dies", NOT_FOUND)
        numbers = [outbox.send(name) for name in ("plain", "again", "dies")]
        keyed = [outbox.send("keyed", str(each), group_key="k") for each in range(3)]
        outbox.wait_for(*numbers, *keyed)
        assert outbox.endpoint.payloads("keyed") == [b"0", b"1", b"2"]
        assert [number for number, _, _ in outbox.dead()] == [numbers[2]]


def test_events_are_delivered_once_each_whatever_the_servers_defaults_for_sessions_are(
    mysql_home: Path, tmp_path: Path
) -> None:
    """With completion_type CHAIN each COMMIT begins a transaction, in which the next deletion would stay."""
    ways = (
        "completion_type = 'CHAIN', transaction_read_only = ON, transaction_isolation = 'SERIALIZABLE',"
        " max_execution_time = 1, sql_select_limit = 1, sql_big_selects = OFF, max_join_size = 1"
    )
    options = [f"--init-connect=SET {ways}"]  # for whoever is no administrator
    with started_outbox(mysql_home, tmp_path, options=options) as outbox:
        keyed = [outbox.send("keyed", str(each), group_key="k") for each in range(3)]
        outbox.wait_for(*keyed)
        outbox.endpoint.answer("again", throttled(0), ACCEPTED)
        large = json.dumps("x" * 5000)
        numbers = [outbox.send(name, large) for name in ("plain", "plain", "again")]
        outbox.wait_for(*numbers)
        outbox.wait_for(outbox.send("last"))
        assert outbox.endpoint.payloads("keyed") == [b"0", b"1", b"2"]
        assert [len(outbox.endpoint.of(name)) for name in ("plain", "again", "last")] == [2, 2, 1]


def test_events_are_delivered_though_a_look_would_be_larger_than_a_packet_may_be(outbox: Outbox) -> None:
    """Of a JSON text beyond max_allowed_packet MySQL makes NULL; quotes are longer in it. Options alone may be that large."""
    payload = json.dumps([""] * 1000)
    options = json.dumps({"role": "\u0001" * 2000, "group_key": "k"})
    packet = outbox.value("SELECT @@GLOBAL.max_allowed_packet")
    outbox.query("SET GLOBAL max_allowed_packet = 131072")
    try:
        kill_connections(outbox)
        with contextlib.closing(outbox.connect()) as connection, connection.cursor() as cursor:
            for _ in range(250):
                send(connection, "quotes", payload)
            for _ in range(30):
                cursor.execute(
                    "INSERT INTO lambda_udf.outbox (function_name, payload, options) VALUES ('role', '1', %s)",
                    (options,),
                )
            connection.commit()
        outbox.wait_until_delivered()
    finally:
        outbox.query("SET GLOBAL max_allowed_packet = %s", (packet,))
        kill_connections(outbox)
    assert len(outbox.endpoint.of("quotes")) == 250
    assert len(outbox.dead()) == 30
