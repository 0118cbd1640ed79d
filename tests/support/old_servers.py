"""The library as it is on servers that lack something: builds to which parts of the one server here are hidden.

Knows udf/Makefile's target `hidden`; asserts nothing."""

from __future__ import annotations

import enum
from pathlib import Path

from tests.support.checkout import ROOT


class OldServer(enum.Enum):
    """Whose services are left; the lists are in udf/Makefile."""

    MYSQL_8_0 = "8.0"
    MYSQL_8_4 = "8.4"
    BARE = "bare"

    @property
    def path(self) -> Path:
        return ROOT / "build/hidden" / self.value / "lambda_udf.so"

    def environment(self) -> dict[str, str]:
        return {}
