"""The threads of handlers: as many as are needed, no more than are allowed, and none that the interpreter waits for.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError

import pytest
from tests.support.waiting import wait_until

from lambda_sidecar.testing.handler_threads import HandlerThreads


def ours() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("lambda-function-")}


def test_a_thread_that_is_idle_is_used_again_and_the_last_one_allowed_is_waited_for() -> None:
    before = ours()
    threads = HandlerThreads(2)
    assert threads.submit(int, "1").result(20) == 1
    (first,) = ours() - before
    assert first.daemon
    wait_until(lambda: threads._idle == 1, what="the thread to be idle")
    gate, both = threading.Event(), threading.Barrier(3)
    running = [threads.submit(lambda: (both.wait(20), gate.wait(20))) for _ in range(2)]
    both.wait(20)
    assert len(ours() - before) == 2
    third, cancelled = threads.submit(threading.current_thread), threads.submit(int)
    cancelled.cancel()
    gate.set()
    assert third.result(20) in ours() - before
    assert [each.result(20)[1] for each in running] == [True, True]
    with pytest.raises(CancelledError):
        cancelled.result(0)
    threads.stop()
    wait_until(lambda: ours() <= before, what="the end of the threads")


def test_what_is_raised_is_the_callers_and_the_thread_goes_on() -> None:
    threads = HandlerThreads(1)
    for error in (ValueError("no"), SystemExit(3)):

        def fail(error: BaseException = error) -> None:
            raise error

        assert threads.submit(fail).exception(20) is error
    assert threads.submit(int).result(20) == 0
    threads.stop()


def test_stop_waits_for_nobody_and_forgets_what_waits() -> None:
    before = ours()
    threads = HandlerThreads(1)
    begun, gate = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        gate.wait(20)

    threads.submit(wait)
    assert begun.wait(20)
    waiting = threads.submit(int)
    threads.stop()
    gate.set()
    wait_until(lambda: ours() <= before, what="the end of the thread")
    assert not waiting.done()
