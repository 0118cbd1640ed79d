"""`make fuzz`: each of the library's targets under libFuzzer for some seconds, and the sidecar's properties as long
with new examples each time. Prints executions and the coverage that was reached; ends with 1 after a finding.

What libFuzzer learns stays in build/fuzz/corpus, for the next run; what breaks something, in build/fuzz/found."""

from __future__ import annotations

import argparse
import os
import re
import resource
import secrets
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
FUZZ = Path(os.environ.get("LAMBDA_UDF_BUILD") or ROOT / "build") / "fuzz"
SEEDS = HERE / "seeds"
# Longer inputs find nothing more: no target has a limit that it takes more bytes to reach.
INPUT_MAX = 2048
# Seconds for one input, real ones: a call's minutes are simulated.
INPUT_SECONDS = 10
# Of each property in one round; a round takes about a minute.
EXAMPLES = 1000
# Files of the library that the targets are made for.
SOURCES = "aggregate_options|call|channel|channel_pool|contract|decimal|durable_name|explain|failure|flights|grpc_wire|invoke|json_printed|json_read|json_write|line|option_trace|stream|traceparent|unix_socket|utf8|waiting"


def main() -> int:
    """The process's exit status."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("seconds", type=int, help="for each target, and for all properties together")
    parser.add_argument(
        "only", nargs="*", help="targets of tests/fuzz/seeds, or `properties`; without any, all"
    )
    given = parser.parse_args()
    targets = sorted(folder.name for folder in SEEDS.iterdir())
    chosen = given.only or [*targets, "properties"]
    if unknown := set(chosen) - {*targets, "properties"}:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    good = True
    if libraries := [target for target in targets if target in chosen]:
        build("libfuzzer")
        for target in libraries:
            good = fuzz(target, given.seconds) and good
        show_coverage(libraries)
    if "properties" in chosen:
        good = try_properties(given.seconds) and good
    return 0 if good else 1


def build(engine: str) -> None:
    subprocess.run(
        ["make", "-s", "-C", HERE, f"ENGINE={engine}", f"BUILD={FUZZ.parent}", f"PYTHON={sys.executable}"],
        check=True,
    )


def fuzz(target: str, seconds: int) -> bool:
    """False after a finding, which libFuzzer describes."""
    corpus, found = FUZZ / "corpus" / target, FUZZ / "found" / target
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    before = cpu_seconds()
    done = subprocess.run(
        [
            FUZZ / "libfuzzer" / target,
            corpus,
            SEEDS / target,
            f"-max_total_time={seconds}",
            f"-max_len={INPUT_MAX}",
            f"-timeout={INPUT_SECONDS}",
            f"-artifact_prefix={found}/",
            "-print_final_stats=1",
        ],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        print(done.stderr[-20_000:])
    runs, rate = (re.search(rf"stat::{name}: *(\d+)", done.stderr) for name in _STATISTICS)
    print(
        f"{target}: {runs[1] if runs else '?'} executions, {rate[1] if rate else '?'} a second,"
        f" {processor(before)}",
        flush=True,
    )
    return done.returncode == 0


def processor(before: float) -> str:
    return f"{(cpu_seconds() - before) / 60:.1f} minutes of a processor"


def cpu_seconds() -> float:
    """Of all that was started here and has ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


_STATISTICS = ("number_of_executed_units", "average_exec_per_sec")


def show_coverage(targets: list[str]) -> None:
    """Lines and branches of the library that seeds and corpus reach, by llvm-cov."""
    build("coverage")
    programs = [FUZZ / "coverage" / target for target in targets]
    profiles = [program.with_suffix(".profraw") for program in programs]
    for program, profile in zip(programs, profiles, strict=True):
        folders = [
            folder for folder in (SEEDS / program.name, FUZZ / "corpus" / program.name) if folder.exists()
        ]
        environment = {**os.environ, "LLVM_PROFILE_FILE": str(profile)}
        subprocess.run([program, "0", "0", *folders], env=environment, check=True, stdout=subprocess.DEVNULL)
    merged = FUZZ / "coverage" / "all.profdata"
    subprocess.run(["llvm-profdata", "merge", "-o", merged, *profiles], check=True)
    objects = [part for program in programs[1:] for part in ("-object", program)]
    report = subprocess.run(
        [
            "llvm-cov",
            "report",
            programs[0],
            *objects,
            f"-instr-profile={merged}",
            "-show-region-summary=false",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    for line in report.stdout.splitlines():
        if line.startswith("Filename") or re.match(rf"\S*\b({SOURCES})\.c\s", line):
            print(re.sub(r"^\S*/", "", line))


def try_properties(seconds: int) -> bool:
    """Rounds of new examples until the time is over, one round at least. False after a finding."""
    before, until, rounds = cpu_seconds(), time.monotonic() + seconds, 0
    while rounds == 0 or time.monotonic() < until:
        rounds += 1
        seed = secrets.randbelow(2**32)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", HERE, "-k", "not library", f"--hypothesis-seed={seed}"],
            cwd=ROOT,
            env={**os.environ, "LAMBDA_UDF_FUZZ_EXAMPLES": str(EXAMPLES)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            print(done.stdout[-20_000:], done.stderr)
            return False
    print(f"properties: {rounds} rounds of {EXAMPLES} examples each, {processor(before)}")
    return True


if __name__ == "__main__":
    sys.exit(main())
