"""The kit's pytest plugin: the fixture `mysql_lambda`, clean for each test, on one server for the session.

Every pytest in an environment with lambda-udf imports this file: its top imports nothing but pytest."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import pluggy

    from lambda_sidecar.testing.kit import MySqlLambdaKit

WITHOUT_MYSQL = "mysql_lambda_without_mysql"
_KIT: pytest.StashKey[MySqlLambdaKit] = pytest.StashKey()


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
        server.check()  # what tests and fixtures without mysql_lambda have called
    finally:
        server.stop()


@pytest.fixture
def mysql_lambda(
    request: pytest.FixtureRequest, mysql_lambda_server: MySqlLambdaKit
) -> Iterator[MySqlLambdaKit]:
    """A MySQL with lambda_sync, lambda_async and lambda_invoke; the functions are the test's to bring."""
    mysql_lambda_server.reset()
    request.node.stash[_KIT] = mysql_lambda_server
    yield mysql_lambda_server
    mysql_lambda_server.reset()


# Not the fixture's end: that would leave the test passed, with an error behind it. Not `wrapper=True`: this
# file is loaded by others' pytest, however old.
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, pluggy.Result[None], None]:
    """A test with the fixture fails if a handler has failed and no `fails` expects it."""
    outcome = yield
    kit = item.stash.get(_KIT, None)
    if kit is None:
        return
    if outcome.exception is not None:
        kit.explain(outcome.exception)
        return
    try:
        kit.check()
    except AssertionError as failures:  # whose text has the tracebacks that matter
        outcome.force_exception(pytest.fail.Exception(str(failures), pytrace=False))
    except Exception as error:  # a warning that is an error here, or what MySQL says
        outcome.force_exception(error)
