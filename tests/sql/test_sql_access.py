"""The sidecar's rules as a SQL user meets them: the account that mysqld reports decides.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import mysql.connector
import pytest
from tests.support.account import ARN
from tests.support.component import INSTALL, status
from tests.support.stack import Library, Stack, execute, start_stack


@pytest.fixture(scope="module")
def ruled_stack(
    library: Library, mysql_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """root may invoke everything, app only Echo; both hold the privilege."""
    directory = tmp_path_factory.mktemp(f"ruled-{library.value}")
    allow = [{"account": "root@*", "function": "*"}, {"account": "app@localhost", "function": "Echo"}]
    with start_stack(mysql_home, directory, library, allow=allow) as stack:
        stack.query(INSTALL)
        stack.query("CREATE USER app@localhost")
        stack.query("GRANT INVOKE_LAMBDA ON *.* TO app@localhost")
        stack.query("GRANT ALL ON test.* TO app@localhost")
        yield stack


@pytest.fixture
def rules(ruled_stack: Stack) -> Stack:
    ruled_stack.reset()
    return ruled_stack


def test_what_no_rule_permits_is_access_denied_and_nothing_is_sent(rules: Stack) -> None:
    denied = status(rules)["errors_denied"]
    with contextlib.closing(rules.connect(user="app")) as connection:
        assert execute(connection, "SELECT lambda_sync('Echo:$LATEST', '1')") == [("1",)]
        with pytest.raises(mysql.connector.Error) as raised:
            execute(connection, "SELECT lambda_sync('BasicTestLambda', '1')")
    assert (raised.value.errno, raised.value.sqlstate, raised.value.msg) == (
        3200,
        "HY000",
        "lambda_sync UDF failed; AccessDenied: account 'app'@'localhost' may not invoke "
        + ARN
        + "BasicTestLambda",
    )
    assert [call["function"] for call in rules.record.calls("BasicTestLambda")] == []
    assert status(rules)["errors_denied"] == denied + 1


def test_a_trigger_is_judged_by_its_definer(rules: Stack) -> None:
    rules.query("CREATE TABLE test.t (id INT)")
    rules.query(
        """CREATE DEFINER = app@localhost TRIGGER test.fires AFTER INSERT ON test.t FOR EACH ROW
           SELECT lambda_async('BasicTestLambda', '1') INTO @result"""
    )
    with pytest.raises(mysql.connector.Error, match="AccessDenied: account 'app'@'localhost'"):
        rules.query("INSERT INTO test.t VALUES (1)")  # by root, who may
    assert rules.record.count() == 0


def test_a_role_that_no_rule_gives_is_refused(rules: Stack) -> None:
    role = "arn:aws:iam::123456789012:role/admin"
    with pytest.raises(mysql.connector.Error, match="lambda_invoke UDF failed; AccessDenied: ") as raised:
        rules.query("SELECT lambda_invoke('Echo', '1', JSON_OBJECT('role', %s))", (role,))
    assert raised.value.errno == 3200
    assert rules.record.count() == 0
