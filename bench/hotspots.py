"""`make bench-profile`: where the time goes under 32 sessions. py-spy looks at the sidecar, perf at mysqld.

Prints the functions that cost most; the stacks stay in build/bench/*.collapsed for a flame graph viewer."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bench.cases import Case, all_cases
from bench.load import WrongAnswer
from bench.rig import BUILD, Rig, running

STACKS = BUILD / "bench" / "sidecar.collapsed"
PERF_DATA = BUILD / "bench" / "mysqld.perf"
WARM_SECONDS = 2
LINE_MAX = 110
"""Of perf's lines: names of C++ are long."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.hotspots")
    parser.add_argument("--case", default="sync/32", help="a case of kind sql, as the table names it")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--top", type=int, default=25, help="lines of each list")
    options = parser.parse_args(arguments)
    case = next(case for case in all_cases() if case.name == options.case)
    try:
        with running() as rig:
            profile(rig, case, options.seconds)
    except WrongAnswer as wrong:
        print(f"bench: WRONG: {wrong}", file=sys.stderr)
        return 1
    print_stacks(STACKS.read_text(encoding="utf-8"), options.top)
    if PERF_DATA.exists():
        print_perf(options.top)
    return 0


def profile(rig: Rig, case: Case, seconds: int) -> None:
    """Both profilers at once, while the case runs."""
    load = rig.load(case.kind)
    PERF_DATA.unlink(missing_ok=True)
    load.prepare(
        case.sessions, case.request, case.expected, seconds=seconds + WARM_SECONDS, warmup=case.warmup
    )
    load.start()
    sidecar = [str(Path(sys.executable).with_name("py-spy")), "record", "--format", "raw", "--function"]
    sidecar += ["--rate", "250", "--duration", str(seconds), "--output", str(STACKS)]
    commands = [[*sidecar, "--pid", str(rig.sidecar.pid)]]
    if shutil.which("perf"):
        # The kernel's clock, not the processor's counters: virtual machines rarely have them.
        recording = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "499", "-g", "-o", str(PERF_DATA)]
        commands.append([*recording, "-p", str(rig.mysqld.pid), "--", "sleep", str(seconds)])
    else:
        print("perf is not here (Debian: linux-perf): mysqld is not profiled", file=sys.stderr)
    programs = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for command in commands
    ]
    for command, program in zip(commands, programs, strict=True):
        _, told = program.communicate()
        if program.returncode:
            print(f"{command[0]}: {told.strip()}", file=sys.stderr)
    print(f"{case.name}: {load.result().per_second:,.0f} calls a second while profiled")


def print_stacks(text: str, top: int) -> None:
    """Shares of all samples: in the function itself, and in it or below it."""
    itself: Counter[str] = Counter()
    below: Counter[str] = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        itself[frames[-1]] += int(count)
        below.update(dict.fromkeys(frames, int(count)))
    total = max(1, itself.total())
    for title, counts in (("sidecar: in the function itself", itself), ("sidecar: there or below", below)):
        print(f"\n{title}, % of samples")
        for name, samples in counts.most_common(top):
            print(f"{100 * samples / total:6.1f}  {name}")


def print_perf(top: int) -> None:
    command = ["perf", "report", "--stdio", "-q", "--no-children", "-g", "none", "--sort", "dso,symbol"]
    done = subprocess.run([*command, "-i", PERF_DATA], capture_output=True, text=True, check=False)
    lines = [line[:LINE_MAX].rstrip(" -") for line in done.stdout.splitlines() if line.strip()]
    print("\nmysqld: in the function itself, % of samples")
    print("\n".join(lines[:top]) or done.stderr.strip())


if __name__ == "__main__":
    sys.exit(main())
