"""The kit's pytest plugin: the fixture `mysql_lambda`, clean for each test, on one server for the session.

Every pytest in an environment with lambda-udf imports this file: its top imports nothing but pytest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lambda_sidecar.testing.kit import MySqlLambdaKit

WITHOUT_MYSQL = "mysql_lambda_without_mysql"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        WITHOUT_MYSQL, "tests with mysql_lambda where no MySQL is installed: fail or skip", default="fail"
    )


@pytest.fixture(scope="session")
def mysql_lambda_server(request: pytest.FixtureRequest) -> Iterator[MySqlLambdaKit]:
    """The server of the session. Override it to start another one: with more options, or as containers."""
    from lambda_sidecar.testing.installed_mysql import NoMySqlError
    from lambda_sidecar.testing.mysql_lambda import MySqlLambda

    server = MySqlLambda()
    try:
        server.start()
    except NoMySqlError as missing:
        if request.config.getini(WITHOUT_MYSQL) == "skip":
            pytest.skip(str(missing))
        pytest.fail(str(missing), pytrace=False)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def mysql_lambda(mysql_lambda_server: MySqlLambdaKit) -> Iterator[MySqlLambdaKit]:
    """A MySQL with lambda_sync, lambda_async and lambda_invoke; the functions are the test's to bring."""
    mysql_lambda_server.reset()
    yield mysql_lambda_server
    mysql_lambda_server.reset()
