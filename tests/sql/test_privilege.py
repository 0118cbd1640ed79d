"""Who may invoke: the privilege INVOKE_LAMBDA, held directly or through the role AWS_LAMBDA_ACCESS.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import mysql.connector
import pytest
from mysql.connector.abstracts import MySQLConnectionAbstract
from tests.support.component import INSTALL, UNINSTALL, installed_component
from tests.support.stack import Stack, execute
from tests.support.waiting import wait_until

DENIED = "Access denied; you need (at least one of) the Invoke Lambda privilege(s) for this operation"
CALL = "SELECT lambda_sync('Echo', '1')"
DIRECT = "GRANT INVOKE_LAMBDA ON *.* TO app@localhost"
ROLE = "GRANT AWS_LAMBDA_ACCESS TO app@localhost"


@pytest.fixture
def component(stack: Stack) -> Iterator[Stack]:
    """The component, the role, and two accounts that can do everything in schema test but invoke."""
    with installed_component(stack):
        for sql in (
            "CREATE ROLE AWS_LAMBDA_ACCESS",
            "GRANT INVOKE_LAMBDA ON *.* TO AWS_LAMBDA_ACCESS",
            "CREATE USER app@localhost, other@localhost",
            "GRANT ALL ON test.* TO app@localhost, other@localhost",
        ):
            stack.query(sql)
        try:
            yield stack
        finally:
            stack.query("SET GLOBAL activate_all_roles_on_login = OFF")
            stack.query("DROP USER app@localhost, other@localhost")
            stack.query("DROP ROLE AWS_LAMBDA_ACCESS")


def outcome(connection: MySQLConnectionAbstract, *statements: str) -> str:
    """`allowed`, or `denied` with exactly Aurora's error."""
    try:
        for sql in statements:
            execute(connection, sql)
    except mysql.connector.Error as error:
        assert (error.errno, error.sqlstate, error.msg) == (1227, "42000", DENIED)
        return "denied"
    return "allowed"


def run_as(stack: Stack, user: str, *statements: str) -> str:
    with contextlib.closing(stack.connect(user=user)) as connection:
        return outcome(connection, *statements)


def test_grant_set_role_and_revoke_work_as_auroras_documentation_says(component: Stack) -> None:
    with contextlib.closing(component.connect(user="app")) as connection:
        assert outcome(connection, CALL) == "denied"
        component.query(ROLE)
        assert outcome(connection, CALL) == "denied"
        assert outcome(connection, "SET ROLE ALL", CALL) == "allowed"
        component.query("REVOKE AWS_LAMBDA_ACCESS FROM app@localhost")
        assert outcome(connection, CALL) == "denied"


def test_a_direct_grant_and_its_revocation_count_at_once(component: Stack) -> None:
    with contextlib.closing(component.connect(user="app")) as connection:
        execute(connection, "PREPARE p FROM \"SELECT lambda_sync('Echo', '1')\"")
        assert outcome(connection, "EXECUTE p") == "denied"
        component.query(DIRECT)
        assert outcome(connection, "EXECUTE p") == "allowed"
        component.query("REVOKE INVOKE_LAMBDA ON *.* FROM app@localhost")
        assert outcome(connection, "EXECUTE p") == "denied"


@dataclass(frozen=True)
class Setting:
    """How account app holds the privilege. `body` is said inside a routine, `login` before the statement
    where there is no routine."""

    name: str
    grants: tuple[str, ...]
    set_role: bool = False


SETTINGS = (
    Setting("direct grant", (DIRECT,)),
    Setting("default role", (ROLE, "SET DEFAULT ROLE ALL TO app@localhost")),
    Setting("SET ROLE ALL", (ROLE,), set_role=True),
    Setting("activate_all_roles_on_login", (ROLE, "SET GLOBAL activate_all_roles_on_login = ON")),
    Setting("granted but inactive", (ROLE,)),
    Setting("none", ()),
)
ALLOWED_TO_A_SESSION = {
    "direct grant",
    "default role",
    "SET ROLE ALL",
    "activate_all_roles_on_login",
}
# Inside a definer's routine the definer's default roles are active, whatever happens at a login.
ALLOWED_TO_A_DEFINER = {"direct grant", "default role", "SET ROLE ALL"}


def direct(stack: Stack, set_role: str) -> str:
    return run_as(stack, "app", *[set_role] * bool(set_role), CALL)


def prepared(stack: Stack, set_role: str) -> str:
    prepare = "PREPARE p FROM \"SELECT lambda_sync('Echo', '1')\""
    return run_as(stack, "app", *[set_role] * bool(set_role), prepare, "EXECUTE p")


def view_as_its_caller(stack: Stack, set_role: str) -> str:
    stack.query(f"CREATE DEFINER = other@localhost SQL SECURITY DEFINER VIEW test.v AS {CALL}")
    return run_as(stack, "app", *[set_role] * bool(set_role), "SELECT * FROM test.v")


def view_with_that_definer(stack: Stack, set_role: str) -> str:
    stack.query(f"CREATE DEFINER = app@localhost SQL SECURITY DEFINER VIEW test.v AS {CALL}")
    return run_as(stack, "other", "SELECT * FROM test.v")


def _routine(kind: str, security: str, set_role: str) -> str:
    body = f"{set_role + ';' if set_role else ''} {CALL} INTO @answer;"
    returns = "RETURNS INT NOT DETERMINISTIC READS SQL DATA" if kind == "FUNCTION" else ""
    end = "RETURN 1;" if kind == "FUNCTION" else ""
    definer = "app@localhost" if security == "DEFINER" else "root@localhost"
    return (
        f"CREATE DEFINER = {definer} {kind} test.r() {returns} SQL SECURITY {security} BEGIN {body} {end} END"
    )


def _run_routine(kind: str, security: str) -> Callable[[Stack, str], str]:
    def run(stack: Stack, set_role: str) -> str:
        stack.query(_routine(kind, security, set_role))
        call = "CALL test.r()" if kind == "PROCEDURE" else "SELECT test.r()"
        return run_as(stack, "other" if security == "DEFINER" else "app", call)

    return run


def trigger(stack: Stack, set_role: str) -> str:
    stack.query("CREATE TABLE test.t (id INT)")
    stack.query(
        f"""CREATE DEFINER = app@localhost TRIGGER test.fires BEFORE INSERT ON test.t FOR EACH ROW
            BEGIN {set_role + ";" if set_role else ""} {CALL} INTO @answer; END"""
    )
    return run_as(stack, "other", "INSERT INTO test.t VALUES (1)")


def event(stack: Stack, set_role: str) -> str:
    stack.query("CREATE TABLE test.outcomes (outcome VARCHAR(9))")
    stack.query(
        f"""CREATE DEFINER = app@localhost EVENT test.soon ON SCHEDULE AT CURRENT_TIMESTAMP DO
            BEGIN
              DECLARE EXIT HANDLER FOR 1227 INSERT INTO test.outcomes VALUES ('denied');
              {set_role + ";" if set_role else ""}
              {CALL} INTO @answer;
              INSERT INTO test.outcomes VALUES ('allowed');
            END"""
    )
    ((text,),) = wait_until(lambda: stack.query("SELECT outcome FROM test.outcomes"), what="the event")
    return str(text)


SESSION_USES = {
    "direct": direct,
    "prepared": prepared,
    "view as its caller": view_as_its_caller,
    "procedure INVOKER": _run_routine("PROCEDURE", "INVOKER"),
    "function INVOKER": _run_routine("FUNCTION", "INVOKER"),
}
DEFINER_USES = {
    "procedure DEFINER": _run_routine("PROCEDURE", "DEFINER"),
    "function DEFINER": _run_routine("FUNCTION", "DEFINER"),
    "trigger": trigger,
    "event": event,
}
TABLE = [
    (use, run, setting, "allowed" if setting.name in allowed else "denied")
    for uses, allowed in ((SESSION_USES, ALLOWED_TO_A_SESSION), (DEFINER_USES, ALLOWED_TO_A_DEFINER))
    for use, run in uses.items()
    for setting in SETTINGS
]


@pytest.mark.parametrize(
    ("run", "setting", "expected"),
    [
        pytest.param(run, setting, expected, id=f"{use}, {setting.name}")
        for use, run, setting, expected in TABLE
    ],
)
def test_the_privilege_counts_as_in_the_table(
    component: Stack, run: Callable[[Stack, str], str], setting: Setting, expected: str
) -> None:
    for sql in setting.grants:
        component.query(sql)
    assert run(component, "SET ROLE ALL" if setting.set_role else "") == expected
    assert component.record.count() == (expected == "allowed")


def test_a_views_definer_lends_nothing(component: Stack) -> None:
    component.query(DIRECT)
    assert view_with_that_definer(component, "") == "denied"


def test_super_suffices_with_and_without_the_component(component: Stack) -> None:
    component.query("GRANT SUPER ON *.* TO app@localhost")
    assert run_as(component, "app", CALL) == "allowed"
    component.query(UNINSTALL)
    assert run_as(component, "app", CALL) == "allowed"
    component.query(INSTALL)


def test_grants_that_outlive_the_component_do_not_count_until_it_is_back(component: Stack) -> None:
    component.query(DIRECT)
    component.query(UNINSTALL)
    assert component.value("SELECT COUNT(*) FROM mysql.global_grants WHERE PRIV = 'INVOKE_LAMBDA'") == 2
    assert run_as(component, "app", CALL) == "denied"
    component.query(INSTALL)
    assert run_as(component, "app", CALL) == "allowed"


def test_the_sidecar_hears_the_definer(component: Stack) -> None:
    """Its log names the account of each failed call."""
    component.query(DIRECT)
    component.query("CREATE DEFINER = app@localhost PROCEDURE test.r() SELECT lambda_sync('Nowhere', '1')")
    with contextlib.closing(component.connect(user="other")) as connection:
        with pytest.raises(mysql.connector.Error, match="ResourceNotFoundException"):
            execute(connection, "CALL test.r()")
        line = f"account='app'@'localhost' connection={connection.connection_id} "
        wait_until(lambda: component.sidecar.log_contains(line), what=line)
