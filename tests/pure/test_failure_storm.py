"""How loud the log is about failed calls: a storm buries nothing, and hides nothing.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import logging

import pytest

from lambda_sidecar.calls.call_log import WARNINGS_MAX, WINDOW_SECONDS, Warnings


def test_a_storm_is_at_warning_for_so_many_lines_and_then_at_info_with_one_line_that_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    warnings = Warnings()
    levels = [warnings.level(100.0 + n / 1000) for n in range(3 * WARNINGS_MAX)]
    assert levels == [logging.WARNING] * WARNINGS_MAX + [logging.INFO] * 2 * WARNINGS_MAX
    (told,) = caplog.messages
    assert told == "more than 100 calls failed within 10 s: the lines of the others are at info"
    caplog.clear()
    assert warnings.level(100.0 + WINDOW_SECONDS + 3600) == logging.WARNING
    assert caplog.messages == ["300 calls failed within 10 s, until 3600 s ago"]


def test_failures_now_and_then_are_each_at_warning_and_nothing_else_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    warnings = Warnings()
    apart = WINDOW_SECONDS / WARNINGS_MAX
    levels = {warnings.level(n * apart) for n in range(5 * WARNINGS_MAX)}
    assert (levels, caplog.messages) == ({logging.WARNING}, [])
