"""How long the properties of this room are tried: the same few hundred examples each time in `make test`, new ones
as long as one likes in `make fuzz` (LAMBDA_UDF_FUZZ_EXAMPLES).

Knows hypothesis' settings alone."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir
from tests.support.host_program import BUILD

# Enough for every branch that a mistake was planted in, and few enough for a second a test.
EXAMPLES = 200

set_hypothesis_home_dir(BUILD / "hypothesis")
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
_common = settings(database=None, deadline=None, print_blob=True, suppress_health_check=_SLOW)
settings.register_profile("short", _common, max_examples=EXAMPLES, derandomize=True)
settings.register_profile(
    "long", _common, max_examples=int(os.environ.get("LAMBDA_UDF_FUZZ_EXAMPLES") or EXAMPLES)
)
settings.load_profile("long" if "LAMBDA_UDF_FUZZ_EXAMPLES" in os.environ else "short")
