"""Each fault of the endpoint and its name, proxies and STS ends as docs/reliability.md says.

Each test's name is the sentence that it proves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.faults.table import OF_THE_WAY, Key

KEYS = [(group, row.fault) for group, rows in OF_THE_WAY.items() for row in rows]


@pytest.mark.parametrize("key", KEYS, ids=": ".join)
def test_a_fault_of_the_way_ends_as_documented(judge: Callable[[Key], None], key: Key) -> None:
    judge(key)
