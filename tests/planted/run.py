"""Plants each fault in a copy of this checkout and runs the quick tests of its part: which method finds it?

Writes nothing but the copy. `make planted`, or a part of a fault's name to choose."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.planted.faults import FAULTS, PACKAGE, Fault
from tests.pure.test_any_order import FILES
from tests.support.checkout import ROOT
from tests.support.machine import UNSHRUNK

# A fault may make a test wait for ever.
SECONDS = 120
# Of each test that runs in orders (tests/support/permuting_loop.py); a machine is led through more lives.
ORDERS, LIVES_PER_ORDER = 100, 10
COPIED = ("sidecar", "tests")


@dataclass(frozen=True)
class Finding:
    """By one method; `is_found` None: there is no such test for that part."""

    method: str
    is_found: bool | None
    seconds: float = 0.0

    def __str__(self) -> str:
        word = {None: "-", True: "found", False: "NOT found"}[self.is_found]
        return f"{self.method} {word}" + (f" ({self.seconds:.1f} s)" if self.is_found is not None else "")


class Copy:
    """Of this checkout, in which a fault is planted, and uprooted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for path in ROOT.iterdir():
            if path.name in COPIED:
                shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
            elif path.name not in (".git", ".run", ".hypothesis"):
                (folder / path.name).symlink_to(path)

    def plant(self, fault: Fault) -> None:
        self._write(fault, fault.planted())

    def uproot(self, fault: Fault) -> None:
        self._write(fault, (PACKAGE / fault.file).read_text())

    def _write(self, fault: Fault, text: str) -> None:
        path = self.folder / "sidecar/lambda_sidecar" / fault.file
        path.write_text(text)
        # Its compiled form is known by time and size.
        os.utime(path, ns=(time.time_ns(), time.time_ns()))

    def passes(self, *names: str, orders: int | None = None) -> bool:
        """Whether these files of tests/pure/ pass. One that does not end does not."""
        paths = (str(self.folder / "sidecar"), str(self.folder))
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONDONTWRITEBYTECODE": "1",
            UNSHRUNK: "1",
        }
        environment.pop("LAMBDA_UDF_ORDERS", None)
        if orders is not None:
            environment["LAMBDA_UDF_ORDERS"] = str(orders)
        files = [f"tests/pure/{name}.py" for name in names]
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            *files,
        ]
        try:
            done = subprocess.run(
                command, cwd=self.folder, env=environment, capture_output=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return False
        if done.returncode not in (0, 1):  # pytest's own: tests have failed, or something else has
            raise RuntimeError(done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace"))
        return done.returncode == 0


def methods(fault: Fault, orders: int = ORDERS) -> Iterator[tuple[str, tuple[str, ...], int | None]]:
    """With the files and the number of orders; without files: there are none for this part."""
    in_orders = any(name in fault.examples for name in FILES)
    yield "examples", fault.examples, None
    yield "orders", ("test_any_order",) if in_orders else (), orders
    yield "machine", (fault.machine,) if fault.machine else (), LIVES_PER_ORDER * orders


def findings(copy: Copy, fault: Fault, *, orders: int = ORDERS) -> list[Finding]:
    """By each method."""
    copy.plant(fault)
    try:
        return [_finding(copy, *method) for method in methods(fault, orders)]
    finally:
        copy.uproot(fault)


def _finding(copy: Copy, method: str, files: tuple[str, ...], orders: int | None) -> Finding:
    if not files:
        return Finding(method, None)
    began = time.monotonic()
    passed = copy.passes(*files, orders=orders)
    return Finding(method, not passed, time.monotonic() - began)


def main() -> int:
    """How many faults nothing finds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", default="", help="of the names of the faults to plant")
    chosen = [fault for fault in FAULTS if parser.parse_args().part in fault.name]
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder))
        files = sorted({file for fault in chosen for _, names, _ in methods(fault) for file in names})
        if not copy.passes(*files):
            print("without any fault these do not pass:", *files)
            return 1
        for fault in chosen:
            found = findings(copy, fault)
            missed += not any(each.is_found for each in found)
            print(f"{fault.name} [{fault.file}]: {'; '.join(map(str, found))}", flush=True)
    print(f"{len(chosen)} faults, {missed} that nothing finds")
    return missed


if __name__ == "__main__":
    sys.exit(main())
