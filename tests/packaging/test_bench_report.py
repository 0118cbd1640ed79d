"""What `make bench` leaves behind: the report where git keeps it, the figures of every round where git ignores them.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from bench import report, run
from bench.results import CaseRound, Results


def measure(results: Results) -> None:
    results.cases["sync/1"] = [
        CaseRound(9, 99.5, value, value, value, value, {"sidecar": 1.5}) for value in (400.0, 500.0)
    ]
    results.add("kill_query_ms", 1.5, 2.5)


@pytest.fixture(autouse=True)
def rig(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is started: a run measures the same two rounds."""
    monkeypatch.setattr(run, "running", lambda **_parts: contextlib.nullcontext())
    monkeypatch.setattr("bench.outbox.measure_all", lambda _rig, _results, _rounds: None)
    monkeypatch.setattr(run, "run", lambda _rig, _options, results: measure(results))


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_whole_run_writes_its_figures_apart_from_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "HERE", tmp_path / "bench")
    monkeypatch.setattr(run, "FIGURES", tmp_path / "build/bench")
    assert run.main([]) == 0
    assert files(tmp_path / "bench") == {"RESULTS.md", "results.svg"}
    assert files(tmp_path / "build/bench") == {"results.json"}


def test_a_run_with_out_writes_everything_there_and_a_part_of_a_run_only_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "HERE", tmp_path / "bench")
    monkeypatch.setattr(run, "FIGURES", tmp_path / "build/bench")
    assert run.main(["--only", "sync"]) == 0
    assert "sync/1" in capsys.readouterr().out
    assert files(tmp_path) == set()
    assert run.main(["--out", str(tmp_path / "out")]) == 0
    assert files(tmp_path / "out") == {"RESULTS.md", "results.json", "results.svg"}


def test_the_report_can_be_written_anew_from_the_figures(tmp_path: Path) -> None:
    assert run.main(["--out", str(tmp_path / "run")]) == 0
    assert report.main([str(tmp_path / "run/results.json"), str(tmp_path / "again")]) == 0
    for name in ("RESULTS.md", "results.svg"):
        assert (tmp_path / "again" / name).read_text() == (tmp_path / "run" / name).read_text()
    kept = json.loads((tmp_path / "run/results.json").read_text())
    assert [one["p50_us"] for one in kept["cases"]["sync/1"]] == [400.0, 500.0]
