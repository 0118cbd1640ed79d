"""The kit: a MySQL whose lambda functions are answered by callables of the test, in its own process.

Knows what a test may ask for; mysql_lambda.py and container.py run MySQL and the sidecar."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import Any, Self

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract

from lambda_sidecar.testing import outbox
from lambda_sidecar.testing.call import Call
from lambda_sidecar.testing.function_name import ACCOUNT_ID, REGION
from lambda_sidecar.testing.functions import Failure, Functions
from lambda_sidecar.testing.handler import Handler
from lambda_sidecar.testing.lambda_endpoint import LambdaEndpoint
from lambda_sidecar.testing.sessions import ROLE

USER = "root"
# So long the end of a test waits for handlers of events that still run.
_PATIENCE_SECONDS = 1.0


class MySqlLambdaKit(ABC):
    """The common part of MySqlLambda and MySqlLambdaContainer.

    A name is a plain function name, which stands for the functions of that name in every region and account,
    or a partial or full ARN; with a version or an alias it stands for that one only."""

    def __init__(self) -> None:
        self._endpoint = LambdaEndpoint()
        self._connection: MySQLConnectionAbstract | None = None

    def function(self, name: str, handler: Handler) -> None:
        """From now on `handler(event)`, or `handler(event, context)`, answers calls of `name`.

        `event` is the payload, parsed. The result becomes JSON; an exception becomes a function error with
        errorType and errorMessage, and fails the test unless a `fails` expects it. It runs in a thread of
        this process, several calls at once; an `async def` in an event loop of its own."""
        self._endpoint.functions.function(name, handler)

    def calls(self, name: str) -> list[Call]:
        """The calls of `name` in this test, in order of arrival; also refused and unfinished ones.
        LookupError for a name that the test has given to neither `function` nor `fails`, and that nothing has
        called."""
        __tracebackhide__ = True  # by pytest, as below: the test's own line is what matters
        return self._endpoint.functions.calls(name)

    def wait_for_calls(self, name: str, count: int = 1, timeout: float = 10.0) -> list[Call]:
        """Waits until at least `count` calls of `name` have finished, and returns them all: lambda_async
        returns before its function has run. AssertionError after `timeout` seconds, or as soon as a call of
        any function has failed that no `fails` expects; LookupError as from `calls`."""
        __tracebackhide__ = True
        try:
            return self._endpoint.functions.wait_for_calls(name, count, timeout)
        except AssertionError as error:
            if refused := outbox.refused(self._own_connection()):
                error.add_note(refused)
            raise

    def fails(self, name: str, error: Failure | None = None) -> AbstractContextManager[None]:
        """Within it, calls of `name` fail: with a function error of this exception, or with an ApiError.
        Without `error` they are answered as ever, and the test expects that its handler raises, or that there
        is none. An event belongs to the block within which it has arrived."""
        return self._endpoint.functions.fails(name, error)

    def check(self) -> None:
        """Raises AssertionError, with the handlers' tracebacks, if calls have failed that no `fails` expects:
        a handler has raised, or there was none. Each is reported once. Waits a moment for events that are
        under way, and warns of calls that still run. The fixture does this at the end of each test, and the
        context manager at its own."""
        __tracebackhide__ = True
        outbox.settle(self._own_connection())
        running = self._endpoint.functions.wait_for_all(_PATIENCE_SECONDS)
        if failures := self._endpoint.functions.take_failures():
            raise AssertionError(failures)
        if running:
            warnings.warn(f"calls that still run at the end: {running}", stacklevel=2)

    def explain(self, error: BaseException) -> None:
        """Adds a note to a test's error: what `check` would raise, unless the error says it already."""
        failures = self._endpoint.functions.take_failures()
        if failures and failures not in str(error):
            error.add_note(failures)

    def deliver_outbox(self, connection: Any) -> list[Call]:
        """Delivers what the open transaction of `connection` has written into lambda_udf.outbox, for tests
        that never commit. Returns the calls, in the order of the rows.

        Handlers run in this thread. A row that is accepted is deleted and one that is refused waits or is
        dead, all within that transaction. The sidecar delivers what is committed. `connection` is any
        driver's (DB-API)."""
        return outbox.deliver(connection, self._own_connection(), self._endpoint.functions)

    def reset(self) -> None:
        """Forgets functions, failures and calls, and empties the outbox; databases stay. The fixture does it
        for each test. Raises what `check` would raise, when all of that is done."""
        outbox.empty(self._own_connection(), self._stopped_sidecar)
        functions, self._endpoint.functions = self._endpoint.functions, Functions()
        if failures := functions.end():
            raise AssertionError(failures)

    @abstractmethod
    def start(self) -> Self:
        """Starts MySQL and the sidecar."""

    @abstractmethod
    def stop(self) -> None:
        """Stops both. Safe to call twice."""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        __tracebackhide__ = True
        try:
            if error is None:
                self.check()
            else:
                self.explain(error)
        finally:
            self.stop()

    def _own_connection(self) -> MySQLConnectionAbstract:
        """The kit's own: a new one for each test would take longer than most tests."""
        if self._connection is None or not self._connection.is_connected():
            self._close_connection()
            self._connection = self.connect()
        return self._connection

    def _close_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @abstractmethod
    def _stopped_sidecar(self) -> AbstractContextManager[None]:
        """Within it no sidecar runs."""

    @property
    @abstractmethod
    def host(self) -> str:
        """Where MySQL is reached over TCP."""

    @property
    @abstractmethod
    def port(self) -> int:
        """Its TCP port."""

    @property
    @abstractmethod
    def socket(self) -> str | None:
        """MySQL's Unix socket, where there is one on this machine."""

    @property
    def user(self) -> str:
        """An administrator: root@% over TCP."""
        return USER

    @property
    @abstractmethod
    def password(self) -> str:
        """Its password, over TCP and over the socket."""

    def connect(self, **options: Any) -> MySQLConnectionAbstract:
        """A connection over TCP with autocommit; `options` are mysql.connector's. The caller closes it."""
        defaults = {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "charset": "utf8mb4",
            "autocommit": True,
        }
        connection = mysql.connector.connect(**{**defaults, **options})
        if not isinstance(connection, MySQLConnectionAbstract):  # a pool's wrapper, if someone asks for one
            raise TypeError(f"connect() gave a {type(connection).__name__}")
        return connection


def sidecar_settings() -> dict[str, Any]:
    """Settings with a role, so that the sidecar tells AWS, which is the kit here, which account calls. The
    sidecar itself knows nothing of tests."""
    return {
        "region": REGION,
        "account_id": ACCOUNT_ID,
        "aws_default_lambda_role": ROLE,
        "session_tags": True,
        "drain_seconds": 1,
        "throttled_seconds": 1,
    }


def sidecar_environment(endpoint: LambdaEndpoint, host: str) -> dict[str, str]:
    """Variables that make the kit's endpoint the sidecar's AWS; the sidecar reaches it under `host`."""
    url = f"http://{host}:{endpoint.port}"
    sidecar = endpoint.sessions.sidecar
    return {
        "AWS_ENDPOINT_URL_LAMBDA": url,
        "AWS_ENDPOINT_URL_STS": url,
        "AWS_ACCESS_KEY_ID": sidecar.key,
        "AWS_SECRET_ACCESS_KEY": sidecar.secret,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
