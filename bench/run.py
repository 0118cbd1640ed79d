"""`make bench`: everything side by side on one machine, several rounds in turn, then the table and the goals.

python -m bench.run [--only WORD …] [--rounds N] [--seconds S] [--out DIR]
Ends with status 1 when an answer is wrong; a goal that is missed is only said."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import crowd, interrupt, many_rows, memory, outbox, report
from bench.cases import Case, all_cases
from bench.load import WrongAnswer
from bench.machine import about
from bench.measurement import Answers, measure
from bench.results import Results
from bench.rig import Rig, running

CASES = ("calls", "select1", "sync", "boto3", "aiobotocore", "hop", "async", "payload")
WORDS = (*CASES, "memory", "crowd", "kill", "rows", "outbox")
# A thousand sessions, and many rows, take a while and vary little.
CROWD_ROUNDS = ROWS_ROUNDS = 3
# Where a whole run writes: the repository keeps its report, and git ignores the figures of every round.
HERE = Path(__file__).parent
FIGURES = HERE.parent / "build/bench"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    results = Results(about=about(sys.argv[1:] if arguments is None else arguments))
    began = time.monotonic()
    try:
        if options.only != ["outbox"]:
            with running() as rig:
                run(rig, options, results)
        if wanted(options, "outbox"):
            with running(outbox=True) as rig:
                outbox.measure_all(rig, results, options.rounds)
    except WrongAnswer as wrong:
        print(f"bench: WRONG: {wrong}", file=sys.stderr)
        return 1
    results.about["took"] = f"{time.monotonic() - began:.0f} s"
    print(report.text(results))
    if options.out is not None:
        report.write(results, options.out)
        results.write(options.figures / "results.json")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description="Measures lambda-udf.")
    parser.add_argument("--only", nargs="+", choices=WORDS, metavar="WORD", help=f"of {', '.join(WORDS)}")
    parser.add_argument(
        "--sessions", nargs="+", type=int, metavar="N", help="only cases with so many sessions"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.8, help="of each case in each round")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write RESULTS.md, results.json, results.svg there"
    )
    options = parser.parse_args(arguments)
    options.figures = options.out
    if options.out is None and not options.only and not options.sessions:
        options.out, options.figures = HERE, FIGURES
    return options


def chosen(options: argparse.Namespace) -> list[Case]:
    return [
        case
        for case in all_cases()
        if (not options.only or case.words & set(options.only))
        and (not options.sessions or case.sessions in options.sessions)
    ]


def wanted(options: argparse.Namespace, word: str) -> bool:
    """Whether what has no sessions to choose is measured."""
    return word in options.only if options.only else not options.sessions


def run(rig: Rig, options: argparse.Namespace, results: Results) -> None:
    """Memory, which wants a fresh rig, and then all rounds. Raises WrongAnswer."""
    answers = Answers()
    cases = chosen(options)
    if wanted(options, "memory"):
        memory.measure_start(rig, results)
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
        for case in cases:
            results.cases.setdefault(case.name, []).append(measure(rig, case, options.seconds, answers))
        if wanted(options, "kill"):
            interrupt.measure(rig, results)
        if wanted(options, "crowd") and number < CROWD_ROUNDS:
            crowd.measure(rig, results)
    if wanted(options, "memory"):
        memory.measure_end(rig, results)
    if wanted(options, "rows"):
        many_rows.measure_all(rig, results, min(options.rounds, ROWS_ROUNDS))


if __name__ == "__main__":
    sys.exit(main())
