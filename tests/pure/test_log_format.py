"""The formats of the log: whatever a message holds, a record is one line, and nothing steers a terminal.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import json
import logging
import sys
import traceback

import pytest

from lambda_sidecar.log.format import JsonFormatter, TextFormatter


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("lambda_sidecar.x", logging.WARNING, "x.py", 1, message, None, None)
    vars(made).update(extra)
    return made


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain:$LATEST/é", "plain:$LATEST/é"),
        ("", '""'),
        (None, "-"),
        (7, "7"),
        ("two words", '"two words"'),
        ('say "x"', '"say \\"x\\""'),
        ("a=b", '"a=b"'),
        ("\ud800\n", '"\\ud800\\n"'),
    ],
)
def test_a_value_in_text_is_one_word(value: object, written: str) -> None:
    line = TextFormatter().format(record("said", fields={"key": value}))
    assert line.endswith(f" WARNING lambda_sidecar.x: said: key={written}")


@pytest.mark.parametrize(
    "word",
    ["a\nb", "\r", "\x1b[2J", "\x7f", "\x85", "\x9b31m", "\u061c", "\u200e", "\u2028", "\u202e", "\u2069", "\ud800"],
    ids=ascii,
)  # fmt: skip
def test_no_message_and_no_argument_breaks_its_line_or_steers_a_terminal(word: str) -> None:
    made = record("role %s refused")
    made.args = (word,)
    for formatter in (TextFormatter(), JsonFormatter()):
        line = formatter.format(made)
        assert line.isprintable()
    assert json.loads(line)["message"] == f"role {word} refused"


def test_the_lines_of_a_stack_are_indented_so_that_none_is_a_record_of_its_own() -> None:
    try:
        raise ValueError("x\n2026-11-24 03:25:30,838 INFO forged\x1b")
    except ValueError as error:
        made = record("failed", exc_info=sys.exc_info())
        stack = "".join(traceback.format_tb(error.__traceback__))
    first, *lines = TextFormatter().format(made).splitlines()
    assert first.endswith(" WARNING lambda_sidecar.x: failed")
    assert len(lines) >= 4
    assert all(line.startswith("    ") and line.isprintable() for line in lines)
    first, *lines = TextFormatter().format(record("failed", stack=stack)).splitlines()
    assert first.endswith(": failed")
    assert [line[4:] for line in lines] == stack.splitlines()
    assert json.loads(JsonFormatter().format(record("failed", stack=stack)))["exception"] == stack


def test_a_stack_stays_in_its_line_of_json() -> None:
    try:
        raise ValueError("x")
    except ValueError:
        made = record("failed", exc_info=sys.exc_info())
    line = JsonFormatter().format(made)
    assert "\n" not in line
    assert json.loads(line)["exception"].endswith("ValueError: x")
