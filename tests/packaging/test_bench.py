"""bench/: it measures what it says, and it fails on a wrong answer. No time is asserted here.

Each test's name is the sentence that it proves. Skipped where `make bench` has not installed its packages."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from bench import (
    backlog,
    crowd,
    goals,
    interrupt,
    many_rows,
    memory,
    million,
    outbox,
    report,
    rig,
    run,
    upstream,
)
from bench.cases import PAYLOAD, PAYLOADS, Case, all_cases, document, sync
from bench.load import Figures, WrongAnswer
from bench.measurement import Answers, measure
from bench.process_figures import cpu_seconds
from bench.results import CaseRound, Results
from bench.rig import Rig
from tests.support.checkout import ROOT
from tests.support.host_program import BUILD

CASES = {case.name: case for case in all_cases()}
SECONDS = 0.05
# An answer of session 7, whoever asks: what a mix-up of channels would look like.
SWAPPED = "echo -n '{}';".format(PAYLOAD.replace("@@@@", "0007"))

MISSING = [
    name
    for name, there in {
        "nginx": shutil.which("nginx", path="/usr/sbin:/usr/bin"),
        "nginx's modules": all((upstream.MODULES / name).exists() for name in upstream.MODULE_NAMES),
        "libmariadb-dev": shutil.which("mariadb_config"),
    }.items()
    if not there
]
if MISSING:
    pytest.skip(
        f"tests/packaging/test_bench.py is left out: `make bench` installs {', '.join(MISSING)}",
        allow_module_level=True,
    )


@pytest.fixture(scope="module", autouse=True)
def _programs() -> None:
    done = subprocess.run(
        ["make", "-s", "-C", ROOT / "bench" / "load", f"BUILD={BUILD}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def good(_programs: None) -> Iterator[Rig]:
    with rig.running() as running:
        yield running


@pytest.fixture(scope="module")
def swapping(_programs: None) -> Iterator[Rig]:
    """A rig whose Lambda answers with what another session has asked."""
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(upstream, "ECHO", SWAPPED)
            running = stack.enter_context(rig.running())
        yield running


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.sessions < 32])
def test_every_contestant_measures_calls_and_cpu_time(good: Rig, name: str) -> None:
    measured = measure(good, CASES[name], SECONDS, Answers())
    assert measured.calls > 0
    assert 0 < measured.p50_us <= measured.p90_us <= measured.p99_us <= measured.max_us
    assert set(measured.cpu_us) <= {"sidecar", "mysqld", "client", "nginx"}


def test_contestants_that_are_asked_the_same_give_the_same_answers_at_32_sessions(good: Rig) -> None:
    answers = Answers()
    compared = [case for case in CASES.values() if case.compared == "echo, 32 sessions"]
    assert len(compared) == 4
    for case in compared:
        measure(good, case, SECONDS, answers)


@pytest.mark.parametrize("contestant", ["sync", "boto3", "aiobotocore"])
def test_an_answer_that_belongs_to_another_session_ends_the_run(swapping: Rig, contestant: str) -> None:
    with pytest.raises(WrongAnswer, match=r'wrong answer.*"0007".*instead of.*"0000"'):
        measure(swapping, CASES[f"{contestant}/1"], SECONDS, Answers())


def test_a_statement_that_fails_ends_the_run_with_its_error(swapping: Rig) -> None:
    case = Case("calls", "sync", "sql", 1, sync("{}", "no function"), "{}", "")
    with pytest.raises(WrongAnswer, match="error 3200: lambda_sync UDF failed"):
        measure(swapping, case, SECONDS, Answers())


def test_contestants_that_answer_differently_end_the_run() -> None:
    answers = Answers()
    answers.compare(CASES["boto3/1"], "0000aaaa")
    answers.compare(CASES["boto3/8"], "0000bbbb")
    with pytest.raises(WrongAnswer, match="sync/1 and boto3/1 were asked the same"):
        answers.compare(CASES["sync/1"], "0000bbbb")


def test_the_command_ends_with_status_1_and_says_what_was_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(upstream, "ECHO", SWAPPED)
    arguments = ["--only", "sync", "--sessions", "1", "--rounds", "1", "--seconds", "0.05"]
    assert run.main([*arguments, "--out", str(tmp_path)]) == 1
    assert "bench: WRONG: sql: 1 session(s) failed; the last: wrong answer" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_and_writes_what_it_has_measured(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["--only", "sync", "boto3", "--sessions", "1", "--rounds", "2", "--seconds", "0.05"]
    assert run.main([*arguments, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "## Goals" in printed
    assert printed.strip() in (tmp_path / "RESULTS.md").read_text()
    kept = json.loads((tmp_path / "results.json").read_text())
    assert {name: len(rounds) for name, rounds in kept["cases"].items()} == {"sync/1": 2, "boto3/1": 2}
    assert ElementTree.parse(tmp_path / "results.svg").getroot().tag.endswith("svg")  # noqa: S314  our own


def test_waiting_sessions_are_sampled_while_all_of_them_wait(
    good: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd, "SAMPLE_SECONDS", 0.1)
    monkeypatch.setattr(crowd, "WAIT_SECONDS", 2)
    results = Results()
    crowd.measure(good, results, sessions=10)
    assert len(results.extra["crowd_waiting_percent"]) == 1
    assert results.extra["crowd_done_s"][0] >= 1


def test_kill_and_memory_and_the_long_run_give_their_figures(
    good: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupt, "PER_ROUND", 1)
    results = Results()
    interrupt.measure(good, results)
    memory.measure_start(good, results, sessions=10)
    memory.measure_end(good, results)
    named = {"kill_query_ms", "kill_connection_ms", "max_execution_time_ms", "sidecar_idle_mb"}
    assert named | {"session_called_kb"} <= set(results.extra)
    figures, samples = million.run(good, 400, 4)
    assert figures.calls == 400
    assert {name for name, rows in samples.items() if rows} == {"mysqld", "sidecar"}


def test_many_rows_give_their_figures(good: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ROWS": 20,
        "MORE_ROWS": 30,
        "SYNC_ROWS": 2,
        "AT_ONCE_ROWS": 100,
        "BATCH_TOTAL": 2 * upstream.BATCH_ROWS,
        "REPEATED": 1,
    }.items():
        monkeypatch.setattr(many_rows, name, value)
    results = Results()
    many_rows.measure_all(good, results, rounds=1)
    # The names of the figures have the numbers of rows that are measured in a real run.
    expected = {name.replace("_1000_", "_20_") for name in report._ROWS} | {"map_ratio"}
    assert set(results.extra) == {name.replace("map_10000_s", "map_30_s") for name in expected}


def test_a_row_that_has_anothers_answer_ends_the_run(good: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_rows, "SYNC_ROWS", 2)
    monkeypatch.setattr(many_rows, "_echoed", lambda _rows: [{"n": 2}, {"n": 1}])
    with pytest.raises(WrongAnswer, match="lambda_sync answered otherwise"):
        many_rows.measure_all(good, Results(), rounds=1)


def test_the_outbox_and_its_backlog_give_their_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PAIRS": 1,
        "LATENCIES": 2,
        "BURST": 2000,
        "IDLE_SECONDS": 0.5,
        "QUIET_SECONDS": 0,
    }.items():
        monkeypatch.setattr(outbox, name, value)
    results = Results()
    with rig.running(outbox=True) as delivering:
        outbox.measure_all(delivering, results, rounds=1)
        samples = backlog.run(delivering, 5000)
    shown = report.text(results)
    labels = [label for label, _ in report._OUTBOX.values()] + list(report._OUTBOX_SAMPLES.values())
    assert [label for label in labels if label not in shown] == []
    assert all(values for values in results.extra.values())
    assert len(results.extra["outbox_function_latency_ms"]) == 2
    assert samples[-1][1] == 5000
    assert len(backlog.rates_of(samples)) == backlog.PARTS


def test_an_event_that_is_not_accepted_at_once_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "CONFIGURATION", upstream.CONFIGURATION.replace("return 202", "return 404"))
    with rig.running(outbox=True) as refusing, pytest.raises(WrongAnswer, match="attempts failed"):
        backlog.run(refusing, 1000)


def test_a_backlog_that_is_delivered_ever_more_slowly_fails_its_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    even = [(float(second), 100 * second, second / 100) for second in range(101)]
    slow = [*even[:81], *((80 + (after - 80) * 1.25, count, cpu) for after, count, cpu in even[81:])]
    monkeypatch.setattr(backlog, "running", lambda **_: contextlib.nullcontext())
    for samples, status in ((even, 0), (slow, 1)):
        monkeypatch.setattr(backlog, "run", lambda *_, found=samples: found)
        assert backlog.main(["--out", str(tmp_path)]) == status
    assert "the end was 20 % slower than the beginning" in capsys.readouterr().err
    written = (tmp_path / "RESULTS-backlog.md").read_text()
    assert "| 20.0 % | MISSED |" in written
    assert written.count(" 100 |") == 4 + 5, "events a second, and microseconds for each"


def test_memory_that_grows_in_the_second_half_fails_the_long_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    figures = Figures(10, 1.0, 1, 1, 1, 1, "")
    flat = [(float(second), 100.0) for second in range(100)]
    steep = [(second, mb + second * 0.1) for second, mb in flat]  # 4.9 MB in the second half
    monkeypatch.setattr(million, "running", contextlib.nullcontext)
    for sidecar, status in ((flat, 0), (steep, 1)):
        monkeypatch.setattr(million, "run", lambda *_, rows=sidecar: (figures, {"sidecar": rows}))
        assert million.main(["--out", str(tmp_path)]) == status
    assert "sidecar grew by more than 2 MB" in capsys.readouterr().err


def test_a_goal_that_is_missed_is_said_and_one_that_holds_too() -> None:
    def rounds(p50_us: float) -> list[CaseRound]:
        return [CaseRound(1, 1.0, p50_us, p50_us, p50_us, p50_us, {})] * 2

    results = Results(cases={"sync/1": rounds(700), "boto3/1": rounds(1000), "hop/1": rounds(150)})
    lines = [" ".join(line.split()) for line in report.text(results).splitlines()]
    (ratio,) = [line for line in lines if line.startswith("| one session")]
    (hop,) = [line for line in lines if "hop alone" in line]
    assert ratio.endswith("| 0.70 | MISSED |")
    assert hop.endswith("| 150 | holds |")
    assert {goal.limit for goal in goals.GOALS} == {
        *(0.6, 200, 4, 300, 100, 3, 20, 90, 64, 2),
        *(5.7, 1.3, 1.0, 0.2),  # many rows; 0.6 s for a thousand
        *(1.6, 5, 4000, 1),  # the outbox; 5 ms, and 5 statements a second
    }


@pytest.mark.parametrize("size", PAYLOADS)
def test_a_payload_is_json_of_exactly_its_size(size: str) -> None:
    text = document(PAYLOADS[size])
    assert len(text.encode()) == PAYLOADS[size]
    assert len(json.loads(text)["pad"]) <= 100  # the rest is objects


def test_cpu_time_counts_a_process_and_its_children(good: Rig) -> None:
    # nginx's master only waits; its worker answers.
    before = cpu_seconds(good.upstream.pid)
    measure(good, CASES["boto3/1"], 0.5, Answers())
    assert cpu_seconds(good.upstream.pid) > before


def test_git_ignores_the_figures_and_keeps_the_report() -> None:
    def is_ignored(path: Path) -> bool:
        command = ["git", "check-ignore", "-q", "--no-index"]
        return subprocess.run([*command, path.relative_to(ROOT)], cwd=ROOT, check=False).returncode == 0

    assert is_ignored(run.FIGURES / "results.json")
    assert not is_ignored(run.HERE / "RESULTS.md")
    assert not is_ignored(run.HERE / "results.svg")
