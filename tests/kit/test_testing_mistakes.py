"""No mistake of a test or of its handlers passes silently: with_mistakes.py's tests, run by a pytest of their own.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree  # of a file that the test itself has let pytest write
from dataclasses import dataclass
from pathlib import Path

import pytest

ENDS_WITHIN = 90  # seconds; a handler that hangs would keep the interpreter for ever


@dataclass(frozen=True)
class Report:
    """What pytest has said: the report of each test by its name, and its output; and whether it has ended."""

    tests: dict[str, tuple[str, str]]
    output: str
    ended: bool

    def failure(self, name: str) -> str:
        outcome, text = self.tests[f"test_{name}"]
        assert outcome == "failure", (name, outcome, text)
        return text

    def passed(self, name: str) -> bool:
        return self.tests[f"test_{name}"] == ("passed", "")


def run(folder: Path, mysql_home: Path) -> Report:
    shutil.copy(Path(__file__).with_name("with_mistakes.py"), folder / "test_mistakes.py")
    xml = folder / "report.xml"
    with (
        (folder / "output").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={xml}"],
            cwd=folder,
            env={**os.environ, "LAMBDA_UDF_MYSQL": str(mysql_home)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as running,
    ):
        try:
            ended = running.wait(ENDS_WITHIN) == 1
        except subprocess.TimeoutExpired:
            ended = False
            running.kill()
    output = (folder / "output").read_text()
    assert xml.exists(), output
    tests: dict[str, tuple[str, str]] = {}
    for case in ElementTree.parse(xml).iter("testcase"):  # noqa: S314  pytest's own
        found = [(each.tag, each.text or "") for each in case if each.tag in ("failure", "error")]
        for outcome, text in found or [("passed", "")]:
            # A test that has passed may have an error at its end, in an entry of its own.
            if outcome != "passed" or case.attrib["name"] not in tests:
                tests[case.attrib["name"]] = (outcome, text)
    return Report(tests, output, ended)


@pytest.fixture(scope="module")
def report(mysql_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return run(tmp_path_factory.mktemp("mistakes"), mysql_home)


def test_a_handler_that_raises_for_an_event_fails_the_test_with_its_traceback(report: Report) -> None:
    text = report.failure("an_events_handler_raises")
    assert "the handler of order-placed has raised what no `fails` expects:\n" in text
    frames = re.findall(r'File "(.*?)", line \d+, in (\w+)', text)
    assert [(Path(file).name, function) for file, function in frames] == [("test_mistakes.py", "broken")]
    assert "lambda_sidecar" not in text
    assert "KeyError: 'no such key'" in text


def test_so_does_an_assertion_that_the_test_has_taken_for_the_statements_failure(report: Report) -> None:
    text = report.failure("an_assertion_of_a_handler_is_swallowed_by_the_test")
    assert "the handler of discount has raised" in text
    assert "assert 1 == 2" in text


def test_wait_for_calls_says_at_once_that_another_functions_handler_has_raised(report: Report) -> None:
    text = report.failure("wait_for_calls_of_another_function")
    assert "the handler of order-placed has raised" in text
    assert text.count("KeyError: 'no such key'") >= 1
    assert "calls have finished within" not in text
    assert "test_mistakes.py:" in text
    assert "functions.py" not in text


def test_an_event_of_the_outbox_that_nobody_answers_fails_the_test_and_names_the_handlers(
    report: Report,
) -> None:
    text = report.failure("an_event_of_the_outbox_that_nobody_answers")
    assert "male was called, and no handler answers for it. This test has handlers for mail." in text


def test_what_deliver_outbox_runs_may_not_fail_either(report: Report) -> None:
    assert "the handler of mail has raised" in report.failure("a_row_that_deliver_outbox_delivers")


def test_a_result_that_is_no_json_fails_the_test(report: Report) -> None:
    assert report.failure("a_result_that_is_no_json").strip() == (
        "a call of set has failed, which no `fails` expects: Runtime.MarshalError: Unable to marshal response:"
        " Object of type set is not JSON serializable"
    )


def test_a_test_that_fails_by_itself_gets_the_handlers_traceback_as_a_note(report: Report) -> None:
    text = report.failure("a_statement_fails_and_so_the_test")
    assert "Unhandled: KeyError: 'no such key'" in text
    assert "the handler of order-placed has raised what no `fails` expects:" in text
    assert "in broken" in text


def test_calls_of_a_name_with_a_mistake_is_an_error_that_names_the_handlers_and_what_has_arrived(
    report: Report,
) -> None:
    text = report.failure("calls_of_a_name_with_a_mistake")
    assert "oder-placed is no function of this test, and nothing has called it." in text
    assert "This test has handlers for order-placed; arrived: 1 of order-placed" in text


def test_a_handler_that_still_runs_is_warned_of_and_does_not_keep_the_interpreter(report: Report) -> None:
    assert report.passed("a_handler_still_runs")
    assert "UserWarning: calls that still run at the end: 1 of hangs\n" in report.output
    assert report.ended


def test_a_handler_that_raises_after_its_test_is_reported_as_an_exception_of_its_thread(
    report: Report,
) -> None:
    assert "PytestUnhandledThreadExceptionWarning" in report.output
    assert "after the end of its test, the handler of late has raised" in report.output
    assert "ValueError: too late" in report.output


def test_what_fails_expects_fails_no_test(report: Report) -> None:
    assert report.passed("failures_that_are_expected")


def test_handlers_may_be_coroutine_functions_and_their_failures_are_theirs(report: Report) -> None:
    assert report.passed("async_handlers")
    text = report.failure("an_async_handler_raises")
    assert "ValueError: while it waited" in text
    assert "asyncio" not in text


def test_the_session_ends_with_an_error_if_tests_without_the_fixture_have_left_a_failure(
    report: Report,
) -> None:
    assert report.tests["test_only_the_server_is_used"][0] == "error"
    assert "the handler of order-placed has raised" in report.tests["test_only_the_server_is_used"][1]
