"""Each fault of the sidecar, its socket, mysqld, the clock, the disk and TLS ends as docs/reliability.md says.

Each test's name is the sentence that it proves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.faults.table import OF_THIS_SIDE, Key

KEYS = [(group, row.fault) for group, rows in OF_THIS_SIDE.items() for row in rows]


@pytest.mark.parametrize("key", KEYS, ids=": ".join)
def test_a_fault_of_this_side_ends_as_documented(judge: Callable[[Key], None], key: Key) -> None:
    judge(key)
