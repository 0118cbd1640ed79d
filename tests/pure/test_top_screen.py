"""What lambda-sidecar top draws: any text, in any size of terminal.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import itertools

import pytest
from tests.support.account import ARN

from lambda_sidecar.calls.call import Phase
from lambda_sidecar.calls.traffic import BUCKETS
from lambda_sidecar.monitoring.function_figures import function_figures, quantile
from lambda_sidecar.monitoring.moments import WINDOW_SECONDS, History, Moment, Past
from lambda_sidecar.monitoring.styled_line import Line, Style, cut, plain, written
from lambda_sidecar.monitoring.text_cells import fitted, harmless, padded, width
from lambda_sidecar.monitoring.top_screen import Section, View, screen
from lambda_udf.v1 import monitor_pb2


def test_a_function_that_throttles_says_to_what_it_is_held_in_any_width() -> None:
    long = "f" * 64
    functions = [
        monitor_pb2.FunctionCount(function=long, calls=2, durations=[2], held_to=49.6),
        monitor_pb2.FunctionCount(function="g", calls=1, durations=[1], held_to=1.25),
        monitor_pb2.FunctionCount(function="h", calls=1, durations=[1]),
    ]
    snapshot = monitor_pb2.SnapshotResponse(
        functions=functions, duration_bounds=[1.0], uptime_ms=1000, held_back=27
    )
    for columns in (60, 80, 120):
        text = [plain(each) for each in screen(Moment(snapshot, 1.0), None, "s", View(columns, None))]
        assert all(width(each) <= columns for each in text)
        rows = {each.split()[5][:1]: each.rstrip() for each in text if each.rstrip()[-2:] in ("/s", " h")}
        assert rows["f"].endswith(" held to 50/s")
        assert rows["g"].endswith(" g held to 1.2/s")
        assert rows["h"].endswith(" h")
        assert any("throttled 27" in each for each in text)


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


SIZES = [
    *itertools.product((60, 80, 100, 120), (15, 24, 30, 40)),
    *itertools.product((1, 20, 200), (1, 5, 12)),
]
LONG = monitor_pb2.CallSubject(
    user="名" * 32,
    host="h" * 255,
    connection_id=2**64 - 1,
    function=f"{ARN}{'f' * 64}:v",
    invocation_type="Event",
)
SHORT = monitor_pb2.CallSubject(
    user="app", host="%", connection_id=4711, function=f"{ARN}Score", invocation_type="RequestResponse"
)


def told(subject: monitor_pb2.CallSubject, running: int = 30) -> monitor_pb2.SnapshotResponse:
    """A sidecar that has much to show."""
    call = monitor_pb2.CallInFlight(subject=subject, phase=monitor_pb2.PHASE_SENT, age_us=2_400_000)
    slow = monitor_pb2.EndedCall(
        subject=subject, outcome="function_error", duration_us=9 * 10**8, queued_us=8 * 10**8, ago_ms=10**6
    )
    counts = [
        monitor_pb2.FunctionCount(
            function=f"F{number}",
            calls=100 - number,
            failed=number,
            durations=[0, 90 - number, *[0] * 13, 10],
        )
        for number in range(12)
    ]
    return monitor_pb2.SnapshotResponse(
        version="0.1.0",
        uptime_ms=10**10,
        in_flight=5000,
        outcomes=[monitor_pb2.OutcomeCount(outcome=f"outcome_{n}", calls=10**12) for n in range(10)],
        sent_bytes=10**15,
        calls=[call] * running,
        slow=[slow] * 20,
        slow_seconds=600,
        functions=counts,
        duration_bounds=BUCKETS,
    )


def texts(lines: list[Line]) -> list[str]:
    return [plain(line) for line in lines]


@pytest.mark.parametrize("outbox", [None, monitor_pb2.Outbox(delivering=True, waiting=10**5, dead=10**9)])
@pytest.mark.parametrize("only", [None, *Section])
@pytest.mark.parametrize(("columns", "lines"), SIZES)
def test_no_size_is_exceeded_whatever_the_names(
    columns: int, lines: int, only: Section | None, outbox: monitor_pb2.Outbox | None
) -> None:
    snapshot = told(LONG)
    if outbox is not None:
        snapshot.outbox.CopyFrom(outbox)
    before = Moment(snapshot, 1)
    view = View(columns, lines, only, paused=True)
    text = texts(screen(Moment(snapshot, 2), Past(before, before), "/run/" + "s" * 100, view))
    assert len(text) == lines
    assert max(width(line) for line in text) <= columns
    assert text[-1].startswith("PAUSED"[:columns] if columns >= len("PAUSED") else "")


@pytest.mark.parametrize(("columns", "lines"), list(itertools.product((60, 80, 120), (15, 24, 40))))
def test_what_runs_comes_first_and_gets_the_most_lines(columns: int, lines: int) -> None:
    text = texts(screen(Moment(told(SHORT), 2), None, "/run/s", View(columns, lines)))
    titles = [line.split()[0] for line in text if line.startswith(("IN FLIGHT", "FUNCTIONS", "SLOWEST"))]
    assert titles == ["IN", "FUNCTIONS", "SLOWEST"][: 2 if lines == 15 else 3]
    running = sum(" sent   " in line for line in text)
    functions = sum(line.split()[-1:] == [f"F{n}"] for line in text for n in range(12))
    slow = sum("function_error" in line for line in text)
    assert running >= functions + slow - 1
    assert functions >= 2
    assert slow >= (0 if lines == 15 else 3)
    assert f"IN FLIGHT 5000 ({5000 - running} more not shown)" in text
    if lines < 40:
        assert not any(line == "" for line in text), "every line is used"


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_names_can_be_read_in_every_width(columns: int) -> None:
    text = texts(screen(Moment(told(SHORT), 2), None, "/run/s", View(columns, 24)))
    rows = [line.split() for line in text if " sent   " in line]
    assert rows
    assert all({"4711", "'app'@'%'", "Score"} <= set(row) for row in rows)
    assert all(("sync" in row) == (columns > 60) for row in rows)
    assert text[-1] == "q quit  p pause  a all  r running  f functions  s slowest"


@pytest.mark.parametrize("only", Section)
def test_a_section_alone_has_the_whole_screen(only: Section) -> None:
    text = texts(screen(Moment(told(SHORT), 2), None, "/run/s", View(80, 24, only)))
    titles = {Section.RUNNING: "IN FLIGHT", Section.FUNCTIONS: "FUNCTIONS", Section.SLOWEST: "SLOWEST"}
    assert [line.startswith(tuple(titles.values())) for line in text].count(True) == 1
    assert text[4].startswith(titles[only])
    assert sum(line != "" for line in text[6:-1]) == (12 if only is Section.FUNCTIONS else 17)


def test_without_a_last_line_all_is_there_and_nothing_about_keys() -> None:
    text = texts(screen(Moment(told(SHORT, running=100), 2), None, "/run/s", View(80, None)))
    assert sum(" sent   " in line for line in text) == 100
    assert sum("function_error" in line for line in text) == 20
    assert not any("q quit" in line for line in text)


def test_rates_are_since_the_last_look() -> None:
    def moment(seconds: float, calls: int, failed: int) -> Moment:
        counts = [
            monitor_pb2.OutcomeCount(outcome="success", calls=calls),
            monitor_pb2.OutcomeCount(outcome="api", calls=failed),
        ]
        return Moment(monitor_pb2.SnapshotResponse(uptime_ms=int(seconds * 1000), outcomes=counts), seconds)

    history, view = History(), View(80, 24)
    assert history.add(moment(8, 1, 0)) is None
    history.add(moment(10, 60, 4))
    now = moment(12, 100, 8)
    text = texts(screen(now, history.add(now), "/s", view))
    assert text[1] == "calls 108 (22.0/s), failed 8 (2.0/s); sent 0 B, received 0 B"
    restarted = moment(1, 5, 0)
    text = texts(screen(restarted, history.add(restarted), "/s", view))
    assert text[1] == "calls 5, failed 0; sent 0 B, received 0 B"


def test_another_process_has_no_past_however_long_it_has_run() -> None:
    def moment(seconds: float, process: str, calls: int) -> Moment:
        count = monitor_pb2.FunctionCount(function="f", calls=calls, durations=[0, calls])
        snapshot = monitor_pb2.SnapshotResponse(
            sidecar_id=process, uptime_ms=int(seconds * 1000), functions=[count], duration_bounds=[0.1]
        )
        return Moment(snapshot, seconds)

    history = History()
    history.add(moment(5, "one", 100))
    restarted = moment(50, "other", 3)
    text = texts(screen(restarted, history.add(restarted), "/s", View(80, 24)))
    assert any(line.startswith("FUNCTIONS since the start") for line in text)


def test_the_past_is_a_minute_long() -> None:
    history = History()
    past = None
    for second in range(0, 200, 2):
        moment = Moment(monitor_pb2.SnapshotResponse(uptime_ms=1000 * second), second)
        past = history.add(moment)
    assert past is not None
    assert (past.first.seconds, past.last.seconds) == (198 - WINDOW_SECONDS, 196)


def test_figures_of_a_function_are_of_what_came_since() -> None:
    def snapshot(calls: int, failed: int, *durations: int) -> monitor_pb2.SnapshotResponse:
        count = monitor_pb2.FunctionCount(function="f", calls=calls, failed=failed, durations=durations)
        idle = monitor_pb2.FunctionCount(function="idle", calls=7, durations=[7, 0, 0])
        return monitor_pb2.SnapshotResponse(functions=[idle, count], duration_bounds=[0.1, 1.0])

    before, now = snapshot(1000, 50, 0, 0, 1000), snapshot(1200, 60, 100, 90, 1010)
    figures, idle = function_figures(now, before, 10)
    assert (figures.function, figures.calls, figures.per_second, figures.failed) == ("f", 200, 20.0, 10)
    assert figures.median == pytest.approx(0.1)
    assert figures.percentile_99 == 1.0, "beyond all bounds"
    assert (idle.function, idle.calls, idle.failed, idle.median) == ("idle", 0, 0, None)
    since_start = function_figures(now, None, 100)
    assert [(each.function, each.per_second) for each in since_start] == [("f", 12.0), ("idle", 0.07)]


@pytest.mark.parametrize(
    ("share", "counts", "value"),
    [
        (0.5, [0, 0, 0], None),
        (0.5, [10, 0, 0], 0.05),
        (0.99, [0, 100, 0], 0.991),
        (0.5, [1, 2, 1], 0.55),
        (0.99, [0, 0, 3], 1.0),
    ],
)
def test_a_quantile_is_where_prometheus_has_it(share: float, counts: list[int], value: float | None) -> None:
    """tests/packaging/test_grafana_dashboard.py asks Prometheus' own."""
    assert quantile(share, [0.1, 1.0], counts) == (None if value is None else pytest.approx(value))


def test_a_line_is_cut_in_the_middle_of_a_piece_and_keeps_its_styles() -> None:
    line = [("ab", Style.BOLD), ("cdef", Style.BAD), ("gh", Style.PLAIN)]
    assert cut(line, 8) == line
    assert cut(line, 5) == [("ab", Style.BOLD), ("cd…", Style.BAD)]
    assert cut(line, 3) == [("ab", Style.BOLD), ("…", Style.BAD)]
    assert plain(cut(line, 0)) == ""
    assert written(cut(line, 3), colours=True) == "\x1b[1mab\x1b[m\x1b[31m…\x1b[m"
    assert written(line, colours=False) == "abcdefgh"
