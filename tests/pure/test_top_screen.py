"""What lambda-sidecar top draws: any text, in any size of terminal.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import pytest
from tests.support.account import ARN

from lambda_sidecar.calls.call import Phase
from lambda_sidecar.monitoring.text_cells import fitted, harmless, padded, width
from lambda_sidecar.monitoring.top_screen import Moment, screen
from lambda_udf.v1 import monitor_pb2


def test_phases_are_numbered_as_in_the_contract() -> None:
    names = {value: name.removeprefix("PHASE_") for name, value in monitor_pb2.Phase.items()}
    assert {0: "UNSPECIFIED"} | {phase.value: phase.name for phase in Phase} == names


@pytest.mark.parametrize(
    ("text", "shown", "columns"),
    [
        ("plain é", "plain é", 7),
        ("名前", "名前", 4),
        ("a\tb\x7f", r"a\x09b\x7f", 10),
        ("\x1b[31m", r"\x1b[31m", 8),
        ("\u200b\u2028\ud800", r"\u200b\u2028\ud800", 18),
        ("a\u0301\u20dd", r"a\u0301\u20dd", 13),
    ],
)
def test_what_could_steer_a_terminal_is_made_visible_and_columns_are_counted(
    text: str, shown: str, columns: int
) -> None:
    assert harmless(text) == shown
    assert width(harmless(text)) == columns


@pytest.mark.parametrize(
    ("text", "columns", "cut"),
    [("abcdef", 6, "abcdef"), ("abcdef", 5, "abcd…"), ("名前名", 4, "名…"), ("ab", 0, "")],
)
def test_a_text_is_cut_at_whole_characters(text: str, columns: int, cut: str) -> None:
    assert fitted(text, columns) == cut
    assert width(padded(text, columns)) == columns


@pytest.mark.parametrize("columns", [80, 100, 200])
@pytest.mark.parametrize("lines", [1, 5, 12, 24, 60])
def test_no_size_is_exceeded_whatever_the_names(columns: int, lines: int) -> None:
    subject = monitor_pb2.CallSubject(
        user="名" * 32,
        host="h" * 255,
        connection_id=2**64 - 1,
        function=f"{ARN}{'f' * 64}:v",
        invocation_type="Event",
    )
    call = monitor_pb2.CallInFlight(subject=subject, phase=monitor_pb2.PHASE_CREDENTIALS, age_us=10**13)
    slow = monitor_pb2.EndedCall(
        subject=subject, outcome="function_error", duration_us=9 * 10**8, queued_us=8 * 10**8, ago_ms=10**6
    )
    told = monitor_pb2.SnapshotResponse(
        version="0.1.0",
        uptime_ms=10**10,
        in_flight=5000,
        outcomes=[monitor_pb2.OutcomeCount(outcome=f"outcome_{n}", calls=10**12) for n in range(10)],
        sent_bytes=10**15,
        calls=[call] * 100,
        slow=[slow] * 20,
        slow_seconds=600,
    )
    text = screen(Moment(told, 2), Moment(told, 1), "/run/" + "s" * 100, columns=columns, lines=lines)
    assert len(text) <= lines
    assert max(width(line) for line in text) <= columns
    if lines >= 24:
        assert any("SLOWEST" in line for line in text)
        assert sum("function_error" in line for line in text) >= 6, "the slowest keep their lines"


def test_rates_are_since_the_last_look() -> None:
    def moment(seconds: float, calls: int, failed: int) -> Moment:
        counts = [
            monitor_pb2.OutcomeCount(outcome="success", calls=calls),
            monitor_pb2.OutcomeCount(outcome="api", calls=failed),
        ]
        return Moment(monitor_pb2.SnapshotResponse(uptime_ms=int(seconds * 1000), outcomes=counts), seconds)

    text = screen(moment(12, 100, 8), moment(10, 60, 4), "/s", columns=80, lines=24)
    assert text[1] == "calls 108 (22.0/s), failed 8 (2.0/s); sent 0 B, received 0 B"
    restarted = screen(moment(1, 5, 0), moment(10, 60, 4), "/s", columns=80, lines=24)
    assert restarted[1] == "calls 5, failed 0; sent 0 B, received 0 B"
