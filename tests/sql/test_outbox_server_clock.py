"""A sidecar whose clock is an hour off: everything counts on the server's.

Each test's name is the sentence that it proves. In reality the server is on another machine, whose clock is wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.other_clock import clock_off_by
from tests.support.outbox import Outbox, another_sidecar, started_outbox
from tests.support.scripted_lambda import ACCEPTED, throttled

HOUR = 3600


@pytest.fixture(scope="module", params=[HOUR, -HOUR], ids=["ahead", "behind"])
def outbox(
    request: pytest.FixtureRequest, mysql_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Outbox]:
    folder = tmp_path_factory.mktemp("clock")
    with contextlib.ExitStack() as stack:
        made = stack.enter_context(started_outbox(mysql_home, folder))
        made.sidecar.stop()
        other = another_sidecar(made, folder / "other")
        other.environment |= clock_off_by(request.param, folder)
        stack.enter_context(other)
        yield made


def moment(seconds: int) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_attempts_wait_for_each_other_as_long_as_they_should(outbox: Outbox) -> None:
    outbox.endpoint.answer("again", throttled(2), ACCEPTED)
    outbox.wait_for(outbox.send("again"))
    refused, accepted = outbox.endpoint.of("again")
    assert 1.9 < accepted.at - refused.at < 10


def test_a_delay_is_as_long_as_it_should_be(outbox: Outbox) -> None:
    for options in ({}, {"group_key": "k"}):
        outbox.wait_for(outbox.send("delayed", delay_seconds=0.5, **options))
    assert len(outbox.endpoint.of("delayed")) == 2


def test_what_expires_within_the_hour_is_sent_and_what_has_expired_is_not(outbox: Outbox) -> None:
    over = outbox.send("over", expires_at=moment(-60))
    outbox.wait_for(over, outbox.send("not-over", expires_at=moment(60)))
    assert len(outbox.endpoint.of("not-over")) == 1
    assert outbox.endpoint.of("over") == []
    assert [number for number, _, _ in outbox.dead()] == [over]
