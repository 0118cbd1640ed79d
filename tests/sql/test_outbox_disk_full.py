"""The outbox while there is no room on the server's disk: it goes on by itself, loses nothing, doubles nothing.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from mysql.connector import DatabaseError, errorcode
from tests.support.outbox import Outbox, started_outbox
from tests.support.scripted_lambda import (
    ACCEPTED,
    NOT_FOUND,
    Answer,
    Arrival,
    Gate,
    answering,
    held,
    throttled,
)
from tests.support.small_disk import SmallDisk, impatient, why_there_is_none
from tests.support.waiting import wait_until

from lambda_sidecar.testing.server import Server

pytestmark = pytest.mark.skipif(bool(why_there_is_none()), reason=why_there_is_none())

ROWS = 15
# No table has so much room left in its file for the rows of one function.
PAD = "x" * 100_000
TOO_MANY = (
    "INSERT INTO lambda_udf.outbox (function_name, payload) WITH RECURSIVE n (i) AS"
    f" (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) SELECT 'refused', JSON_QUOTE('{PAD}') FROM n"
)
RESULT = json.dumps(PAD).encode()


def write(outbox: Outbox) -> None:
    """ROWS events of each kind, which differ in what becomes of them and in the tables that this needs."""
    for number in range(ROWS):
        payload = json.dumps([number, PAD])
        outbox.send("fails", payload)
        outbox.send("dies", payload)
        outbox.send("talks", payload, keep_result=True)
        outbox.send("taken", payload)


def numbers(outbox: Outbox, function: str) -> list[int]:
    return [json.loads(payload)[0] for payload in outbox.endpoint.payloads(function)]


def once(outbox: Outbox, function: str) -> bool:
    return Counter(numbers(outbox, function)) == dict.fromkeys(range(ROWS), 1)


def wait_for_text(server: Server, text: str) -> None:
    """Until it has logged that."""
    wait_until(lambda: text in server.log_text(), seconds=60, what=text)


@contextlib.contextmanager
def all_under_way(outbox: Outbox) -> Iterator[Gate]:
    """Lambda has every row that is not keyed, and answers once the gate is open; those that fail do so once."""
    gate = Gate()
    failed = set()

    def fail_once(arrival: Arrival) -> Answer:
        if arrival.payload in failed:
            return ACCEPTED
        failed.add(arrival.payload)
        return held(throttled(0), gate)

    outbox.endpoint.script("fails", fail_once)
    outbox.endpoint.answer("dies", held(NOT_FOUND, gate))
    outbox.endpoint.answer("talks", held(answering(RESULT), gate))
    outbox.endpoint.answer("taken", held(ACCEPTED, gate))
    try:
        write(outbox)
        for function in ("fails", "dies", "talks", "taken"):
            outbox.wait_for_arrivals(function, ROWS)
        yield gate
    finally:
        gate.open()


def assert_that_all_is_settled(outbox: Outbox, pid: int) -> None:
    """As it would have been without a full disk."""
    outbox.wait_until_delivered(seconds=40)
    assert outbox.mysqld.pid == pid
    assert once(outbox, "taken")
    assert once(outbox, "dies")
    assert once(outbox, "talks")
    assert Counter(numbers(outbox, "fails")) == dict.fromkeys(range(ROWS), 2)
    assert numbers(outbox, "keyed") == list(range(ROWS))
    dead = outbox.query("SELECT function_name, attempts FROM lambda_udf.outbox_dead")
    assert dead == [("dies", 1)] * ROWS
    assert {"no such function" in error for _, error, _ in outbox.dead()} == {True}
    results = outbox.query(
        "SELECT COUNT(*), MIN(LENGTH(payload)), MAX(function_error) FROM lambda_udf.outbox_results"
    )
    assert results == [(ROWS, len(RESULT), None)]
    assert "Traceback" not in outbox.sidecar.log_text()


def test_what_no_table_has_room_for_is_settled_once_there_is_room(mysql_home: Path, tmp_path: Path) -> None:
    disk = SmallDisk(tmp_path / "mysql" / "data", megabytes=150)
    with started_outbox(disk.home(mysql_home, tmp_path), tmp_path, drain_seconds=1) as outbox:
        pid = outbox.mysqld.pid
        outbox.wait_for(outbox.send("ready"))
        with all_under_way(outbox) as gate:
            keyed = [json.dumps([number, PAD]) for number in range(ROWS)]
            with contextlib.closing(outbox.connect(autocommit=False)) as connection:
                with connection.cursor() as cursor:
                    cursor.executemany(
                        "INSERT INTO lambda_udf.outbox (function_name, payload, options)"
                        " VALUES ('keyed', %s, '{\"group_key\": \"k\"}')",
                        [(payload,) for payload in keyed],
                    )
                with disk.full(outbox.mysqld):
                    connection.commit()
                    gate.open()
                    for table in ("outbox_waiting", "outbox_dead", "outbox_results"):
                        wait_for_text(outbox.sidecar, f"The table '{table}' is full")
                    with pytest.raises(DatabaseError) as refused:
                        outbox.query(TOO_MANY)
                    assert refused.value.errno == errorcode.ER_RECORD_FILE_FULL
                    assert outbox.count("outbox_dead") < ROWS
        assert_that_all_is_settled(outbox, pid)
        assert outbox.endpoint.of("refused") == []


def test_what_the_binary_log_has_no_room_for_is_settled_once_there_is_room(
    mysql_home: Path, tmp_path: Path
) -> None:
    """COMMIT waits in the server for as long as that, beyond what the sidecar waits for a statement."""
    folder = tmp_path / "binlog"
    folder.mkdir()
    disk = SmallDisk(folder, megabytes=64)
    with started_outbox(
        disk.home(mysql_home, tmp_path),
        tmp_path,
        options=(f"--log-bin={folder}/bin", "--server-id=1"),
        environment=impatient(tmp_path),
        drain_seconds=1,
    ) as outbox:
        pid = outbox.mysqld.pid
        outbox.wait_for(outbox.send("ready"))
        writing = threading.Thread(
            target=lambda: [
                outbox.send("keyed", json.dumps([number, PAD]), group_key="k") for number in range(ROWS)
            ]
        )
        with all_under_way(outbox) as gate, disk.full(outbox.mysqld):
            gate.open()
            writing.start()
            wait_for_text(outbox.mysqld, "Disk is full writing")
            wait_for_text(outbox.sidecar, "the connection that settles is lost: TimeoutError")
            assert len(outbox.endpoint.of("taken")) == ROWS
        writing.join()
        outbox.hint()
        assert_that_all_is_settled(outbox, pid)
