"""lambda_invoke's options, as any JSON that people may write.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from botocore.loaders import Loader
from hypothesis import given
from hypothesis import strategies as st

from lambda_sidecar.calls.lambda_invoke import (
    INVOCATION_TYPES,
    LOG_TYPES,
    TIMEOUT_MAX_MS,
    Options,
    parse_options,
)
from lambda_sidecar.errors import InvalidRequest
from lambda_sidecar.quotas import CLIENT_CONTEXT_MAX

_SHAPES = Loader().load_service_model("lambda", "service-2")["shapes"]


def _pattern(shape: str) -> re.Pattern[str]:
    return re.compile(f"(?:{_SHAPES[shape]['pattern']}){{1}}", re.ASCII)


TENANT, EXECUTION = _pattern("TenantId"), _pattern("DurableExecutionName")
NAMES = list(Options.__dataclass_fields__)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=6)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
OBJECTS = st.dictionaries(st.text(max_size=5), JSON, max_size=3)
GOOD: dict[str, st.SearchStrategy[Any]] = {
    "invocation_type": st.sampled_from(INVOCATION_TYPES),
    "region": st.text(min_size=1, max_size=10),
    "qualifier": st.text(min_size=1, max_size=10),
    "log_type": st.sampled_from(LOG_TYPES),
    "client_context": OBJECTS,
    "role": st.text(min_size=1, max_size=10),
    "tenant_id": st.text("azAZ09._:/=+@ -", min_size=1, max_size=256),
    "durable_execution_name": st.text("azAZ09_-", min_size=1, max_size=64),
    "timeout_ms": st.integers(1, TIMEOUT_MAX_MS),
    "traceparent": st.text(max_size=60),
    "stream": st.booleans(),
}
ODD = JSON | st.sampled_from(
    ["", "Event\n", "tail", 0, -1, TIMEOUT_MAX_MS + 1, 10**400, 1.0, "é", {"a": "x" * 4000}]
)
SOME = st.dictionaries(st.sampled_from([*NAMES, "Region", "", "x" * 100]), ODD, max_size=4)


@given(st.fixed_dictionaries({}, optional=GOOD))
def test_good_options_are_taken_as_they_are(given_: dict[str, Any]) -> None:
    if "client_context" in given_ and given_.get("invocation_type", "RequestResponse") != "RequestResponse":
        del given_["client_context"]
    if given_.get("invocation_type") == "Event" or "durable_execution_name" in given_:
        given_.pop("stream", None)
    options = parse_options(json.dumps(given_))
    for name, value in given_.items():
        taken = getattr(options, name)
        assert (json.loads(taken) if name == "client_context" else taken) == value
    for name in set(NAMES) - set(given_):
        assert getattr(options, name) == Options.__dataclass_fields__[name].default


@given(st.text(max_size=60) | SOME.map(json.dumps) | JSON.map(json.dumps))
def test_any_text_is_options_that_lambda_takes_or_a_refusal(text: str) -> None:
    try:
        options = parse_options(text)
    except InvalidRequest as refusal:
        assert len(str(refusal)) < 400
        return
    assert isinstance(json.loads(text), dict)
    assert options.invocation_type in INVOCATION_TYPES
    assert options.log_type in LOG_TYPES
    assert options.timeout_ms is None or 1 <= options.timeout_ms <= TIMEOUT_MAX_MS
    assert not options.tenant_id or (TENANT.fullmatch(options.tenant_id) and len(options.tenant_id) <= 256)
    assert not options.durable_execution_name or EXECUTION.fullmatch(options.durable_execution_name)
    context = options.client_context.encode()
    assert not context or isinstance(json.loads(context), dict)
    assert len(base64.b64encode(context)) <= CLIENT_CONTEXT_MAX
    assert not context or options.invocation_type == "RequestResponse"
    assert not options.stream or (options.invocation_type != "Event" and not options.durable_execution_name)
