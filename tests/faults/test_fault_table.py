"""The table of docs/reliability.md: complete, as its generator writes it, and within what the project promises.

Each test's name is the sentence that it proves. That it is true: test_faults_of_*.py."""

from __future__ import annotations

from tests.faults.row import AT_ONCE, CONNECT, SDK_ATTEMPTS, SIDECAR_CONNECT, TIMEOUT, Outcome
from tests.faults.table import FILE, GROUPS, ROWS, document, documented, outcomes_in

# Of the calls that were tried again, because Lambda had refused them.
TRIED_AGAIN = {"two times 429, then the answer"}
DEATHS_OF_MYSQLD = {
    "killed (SIGKILL) with a call in flight, and started again",
    "restarted with a call in flight",
}


def test_the_document_is_what_the_generator_writes_of_the_outcomes_in_it() -> None:
    outcomes = documented()
    assert set(outcomes) == set(ROWS)
    assert sum(map(len, GROUPS.values())) == len(ROWS)
    assert FILE.read_text() == document(outcomes)


def test_what_the_generator_writes_is_read_as_it_was() -> None:
    outcomes = {key: Outcome(f"`{key}`", "at once", "1", "works", "unbroken") for key in ROWS}
    assert outcomes_in(document(outcomes)) == outcomes


def test_no_fault_costs_mysqld_its_uptime_but_its_own_death() -> None:
    broken = {fault for (_, fault), found in documented().items() if found.uptime != "unbroken"}
    assert broken == DEATHS_OF_MYSQLD


def test_after_every_fault_the_next_statement_works() -> None:
    assert {found.next_statement for found in documented().values()} <= {
        "works",
        "works after a second",
        "works in a new session",
    }


def test_no_call_is_invoked_twice_unless_lambda_has_refused_it_before() -> None:
    often = {fault for (_, fault), found in documented().items() if found.invoked not in ("0", "1")}
    assert often == TRIED_AGAIN | {"INSTALL and UNINSTALL COMPONENT ten times under load"}


def test_whoever_is_not_told_that_the_call_may_have_been_carried_out_has_not_invoked_in_vain() -> None:
    """A text of the way to Lambda without these words is one of calls that the endpoint never had, or has
    refused by itself."""
    silent = {
        fault
        for (_, fault), found in documented().items()
        if found.invoked == "1" and "Network Connection" in found.seen and "may have been" not in found.seen
    }
    assert silent == set()


def test_every_statement_ends_by_a_limit_that_has_a_name() -> None:
    named = {
        AT_ONCE,
        CONNECT,
        SIDECAR_CONNECT,
        TIMEOUT,
        "three attempts",
        SDK_ATTEMPTS,
        "its start",
    }
    assert {found.after for found in documented().values()} == named | {"the call", "`max_execution_time`"}
