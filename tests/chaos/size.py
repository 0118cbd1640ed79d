"""How long a chaos test runs and by which seed: short in `make test`, as long as one likes by hand.

    make chaos-outbox                             all, at full length
    make chaos-outbox SCENARIO=sidecar N=1000     one of them, with a number
    make chaos-outbox SEED=7                      the same choices again
    make chaos N=100000                           calls, without the outbox
    make chaos-durable                            calls with a durable execution's name

Knows the environment; nothing of what is done."""

from __future__ import annotations

import os
import random


def amount(short: int, full: int) -> int:
    """N, if it is given; else `full` by `make chaos` and `make chaos-outbox`, and `short` by `make test`."""
    if given := os.environ.get("LAMBDA_UDF_CHAOS_N"):
        return int(given)
    return full if is_by_hand() else short


def is_by_hand() -> bool:
    return "LAMBDA_UDF_CHAOS" in os.environ


def seed() -> int:
    """SEED, or a new one; a test prints it, and pytest shows that of a test that fails."""
    given = os.environ.get("LAMBDA_UDF_CHAOS_SEED")
    return int(given) if given else random.SystemRandom().randrange(1_000_000)


def report(scenario: str, **figures: object) -> None:
    """One line of figures."""
    print(f"\n{scenario}: " + ", ".join(f"{name} {value}" for name, value in figures.items()))
