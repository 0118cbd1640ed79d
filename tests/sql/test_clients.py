"""Clients that were written by others, each connected with its own defaults: literals, prepared statements, JSON.

Each test's name is the sentence that it proves. Those with mysql2 are left out where node or npm's registry is missing."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import mysql.connector
import pymysql
import pytest
from tests.support import mysql2_client
from tests.support.clients import CLIENTS
from tests.support.npm import NoPackage
from tests.support.stack import Stack

DEFAULTS = {client.name: client.collation for client in CLIENTS}
LITERALS = (
    """lambda_sync('Echo', '"ok"') = '"ok"'""",
    """lambda_sync('Echo', '"ok"') LIKE '%OK%'""",
    """lambda_sync('Echo', '"ok"') IN ('no', '"ok"')""",
    """CASE lambda_sync('Echo', '"ok"') WHEN '"ok"' THEN 1 END""",
    """CONCAT(lambda_sync('Echo', '"ok"'), '!') = '"ok"!'""",
)
COLLATION = "SELECT @@collation_connection AS answer"
PAYLOAD = '{"text": "🐬 é", "list": [1, 2.5, null]}'


@pytest.fixture(scope="module")
def mysql2() -> Path:
    """Where the module is."""
    try:
        return mysql2_client.install()
    except NoPackage as error:
        pytest.skip(f"mysql2's tests are left out: {error}")


def test_mysql2_compares_results_with_literals(stack: Stack, mysql2: Path) -> None:
    statements = [COLLATION, *(f"SELECT {literal} AS answer" for literal in LITERALS)]
    (collation,), *answers = mysql2_client.run(mysql2, stack.mysqld.socket, statements)
    assert collation["answer"] == DEFAULTS["mysql2 (npm)"]
    assert answers == [[{"answer": 1}]] * len(LITERALS)


def test_mysql2_prepares_statements_and_gets_json_back(stack: Stack, mysql2: Path) -> None:
    text, compared, document, event, row = mysql2_client.run(
        mysql2,
        stack.mysqld.socket,
        [
            ("SELECT lambda_sync(?, ?) AS answer", ["Echo", PAYLOAD]),
            ("SELECT lambda_sync(?, ?) = ? AS answer", ["Echo", '"ok"', '"ok"']),
            ("SELECT CAST(lambda_sync(?, ?) AS JSON) AS answer", ["Echo", PAYLOAD]),
            ("SELECT lambda_async('Echo', JSON_OBJECT('n', ?)) LIKE '{\"StatusCode\": 202%' AS answer", [7]),
            (
                """SELECT t.text AS answer FROM JSON_TABLE(lambda_sync(?, ?), '$'
                   COLUMNS (text VARCHAR(9) PATH '$.text')) AS t""",
                ["Echo", PAYLOAD],
            ),
        ],
    )
    assert json.loads(text[0]["answer"]) == json.loads(PAYLOAD)
    assert compared == event == [{"answer": 1}]
    assert document == [{"answer": json.loads(PAYLOAD)}]
    assert row == [{"answer": "🐬 é"}]
    sent = [json.loads(PAYLOAD), "ok", json.loads(PAYLOAD), {"n": 7}, json.loads(PAYLOAD)]
    assert stack.record.payloads("Echo") == sent


def test_pymysql_compares_results_with_literals_and_gets_json_back(stack: Stack) -> None:
    connection = pymysql.connect(unix_socket=str(stack.mysqld.socket), user="root", database="test")
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(COLLATION)
        assert cursor.fetchall() == ((DEFAULTS["PyMySQL"],),)
        for literal in LITERALS:
            cursor.execute(f"SELECT {literal}")
            assert cursor.fetchall() == ((1,),), literal
        parameters = ("Echo", PAYLOAD, "Echo", "1", "1")
        cursor.execute("SELECT lambda_sync(%s, %s), lambda_sync(%s, %s) = %s", parameters)
        ((text, compared),) = cursor.fetchall()
    assert (json.loads(text), compared) == (json.loads(PAYLOAD), 1)


def test_connector_python_compares_results_with_literals(stack: Stack) -> None:
    connection = mysql.connector.connect(unix_socket=str(stack.mysqld.socket), user="root")
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(COLLATION)
        assert cursor.fetchall() == [(DEFAULTS["MySQL Connector/Python"],)]
        for literal in LITERALS:
            cursor.execute(f"SELECT {literal}")
            assert cursor.fetchall() == [(1,)], literal
