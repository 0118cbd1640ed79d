"""Faults planted again: each still fits the code, and some are planted, for the tests must find them.

`make planted` plants all. Each test's name is the sentence that it proves."""

from __future__ import annotations

import pytest
from tests.planted.faults import FAULTS, PACKAGE, Fault
from tests.planted.run import Copy, findings
from tests.support.checkout import ROOT

BY_NAME = {fault.name: fault for fault in FAULTS}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("copy"))


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_a_fault_can_be_planted_in_the_code_of_today_and_has_tests(fault: Fault) -> None:
    planted = fault.planted()
    assert planted != (PACKAGE / fault.file).read_text()
    compile(planted, fault.file, "exec")
    for name in (*fault.examples, *filter(None, [fault.machine])):
        assert (ROOT / f"tests/pure/{name}.py").exists()


@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("a slot is handed to a call that waits no more, and is gone", ["examples", "orders", "machine"]),
        ("a caller that has no more time takes the renewal with it", ["examples", "machine"]),
        ("an HTML page is an accepted event", ["examples"]),
    ],
)
def test_a_fault_that_is_planted_again_is_found(copy: Copy, name: str, by: list[str]) -> None:
    assert [finding.method for finding in findings(copy, BY_NAME[name], orders=20) if finding.is_found] == by


def test_where_none_is_planted_the_tests_pass_in_the_copy(copy: Copy) -> None:
    assert copy.passes("test_slots_machine", "test_credentials_machine", "test_check_success")
