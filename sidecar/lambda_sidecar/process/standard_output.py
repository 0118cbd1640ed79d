"""Standard output of the commands, whose reader may go before they end: `lambda-sidecar check | head -1`.

Knows the descriptor alone; nothing of what is printed."""

from __future__ import annotations

import os
import sys


def say(line: str) -> None:
    """Prints it at once. If nobody reads any more, what the command has begun goes on without output."""
    try:
        print(line, flush=True)  # nothing where standard output is closed
    except BrokenPipeError:
        _leave()


def flush() -> None:
    """What Python itself would do when the process ends, but without a traceback."""
    try:
        if sys.stdout is not None:  # closed
            sys.stdout.flush()
    except BrokenPipeError:
        _leave()


def _leave() -> None:
    """From now on whatever is printed goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
