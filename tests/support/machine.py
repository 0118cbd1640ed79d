"""State machines of hypothesis whose steps happen on a permuting loop: rules act between its turns.

Knows hypothesis and the loop; nothing of what a machine is about."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, TypeVar

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from tests.support.permuting_loop import Orders, PermutingLoop

T = TypeVar("T")

# Lives that a machine is led through, and the steps of one at most. The same ones each time, unless more are
# asked for as `make orders` does.
LIVES, STEPS = 15, 40
# Set by whoever asks only whether there is a fault: then nobody looks for the shortest life that shows it.
UNSHRUNK = "LAMBDA_UDF_UNSHRUNK"
numbers = st.integers(0, 63)
"""For `one_of`."""


def one_of(choices: Sequence[T], number: int) -> T:
    """Of what there is at this step, which no strategy can know."""
    return choices[number % len(choices)]


class LoopMachine(RuleBasedStateMachine):
    """`begin` is called first, and `end` last, when the machine's invariants hold. While a rule runs its loop is
    the running one, but does not turn."""

    def begin(self) -> None:
        """Makes what the machine is about."""

    def end(self) -> None:
        """Brings it to its end, and says how that must be."""

    def look(self) -> None:
        """What must be so after each step."""

    def look_at_rest(self) -> None:
        """What must be so when nothing is ready."""

    def start(self, main: Coroutine[Any, Any, T], *, may_fail: bool = False) -> asyncio.Task[T]:
        """A task; if it fails, so does the machine."""
        task = self.loop.create_task(main)
        if not may_fail:
            task.add_done_callback(self._look_at_end)
        return task

    def _look_at_end(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """As if the loop ran."""
        asyncio._set_running_loop(self.loop)
        try:
            yield
        finally:
            asyncio._set_running_loop(None)

    @initialize(order=st.integers(0, 2**16))
    def _begin(self, order: int) -> None:
        self.loop = PermutingLoop(order)
        self.exits = contextlib.ExitStack()
        self.exits.enter_context(self.loop.clock())
        with self.inside():
            self.begin()

    @rule()
    def turn(self) -> None:
        self.loop.turn()

    @rule()
    def settle(self) -> None:
        self.loop.settle()
        self.look_at_rest()

    @rule(seconds=st.sampled_from((0.0005, 0.4, 0.6, 4.0, 19.5, 30.0)))
    def pass_time(self, seconds: float) -> None:
        self.loop.pass_time(seconds)
        self.look_at_rest()

    @invariant()
    def _look(self) -> None:
        assert not self.loop.unseen, self.loop.unseen
        self.look()

    def teardown(self) -> None:
        """After a step that has failed it only cleans up: that failure is the one to see."""
        if not hasattr(self, "loop"):
            return
        try:
            if sys.exc_info()[0] is None:
                self.loop.settle()
                self.look_at_rest()
                self.end()
                self.loop.finish()
            else:
                self.loop.give_up()
        finally:
            self.exits.close()


def lead_through_lives(machine: type[LoopMachine]) -> None:
    """As many as there are orders (permuting_loop.py), or LIVES, which are the same ones each time."""
    orders = Orders.asked_for()
    shrink = () if UNSHRUNK in os.environ else (Phase.shrink,)
    chosen = settings(
        max_examples=LIVES if orders is None else orders.number,
        stateful_step_count=STEPS,
        derandomize=orders is None,
        database=None,
        deadline=None,
        print_blob=True,
        report_multiple_bugs=False,
        phases=(Phase.generate, *shrink),
        suppress_health_check=list(HealthCheck),
    )
    led = machine if orders is None else seed(orders.first)(machine)
    run_state_machine_as_test(led, settings=chosen)
