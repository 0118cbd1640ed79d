"""lambda_map: its options, which come one by one, and the JSON value that its answer is.

Pure; knows neither gRPC nor HTTP, nor how many calls make one result."""

from __future__ import annotations

import functools
from collections.abc import Generator
from typing import NamedTuple

from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.calls.lambda_invoke import Options, check_text_option, embedded
from lambda_sidecar.errors import ApiError

# Statements have one set of options for all of their rows, or a few. So many are remembered, none of them
# longer: a role's ARN has 2,048 characters at most.
_REMEMBERED, _REMEMBERED_LENGTH = 256, 4096
_NOT_GIVEN = Options()


class MapOptions(NamedTuple):
    """As written in SQL, not looked at yet. Empty strings: not given."""

    qualifier: str
    region: str
    role: str
    tenant_id: str


def checked(options: MapOptions) -> Options:
    """Raises InvalidRequest, naming the option that is wrong; not of those that name what a rule decides."""
    if not any(options):
        return _NOT_GIVEN
    is_short = sum(map(len, options)) <= _REMEMBERED_LENGTH
    return _remembered(options) if is_short else _check(options)


def _check(options: MapOptions) -> Options:
    if options.tenant_id:
        check_text_option("tenant_id", options.tenant_id)
    return Options(**options._asdict())


_remembered = functools.lru_cache(_REMEMBERED)(_check)


def value(result: InvocationResult, most: int) -> Generator[None, None, bytes]:
    """The answer as JSON: as it is, or as a JSON string where it is none; null where it is empty. In steps.
    Raises ApiError for more than `most` bytes."""
    made = yield from embedded(result.payload, most)
    if made is None or len(made) > most:
        text = (
            f"the function has run, but its result of {len(result.payload)} bytes, which is not JSON,"
            " is too large as a JSON string"
        )
        raise ApiError("ResponseTooLarge", text, request_id=result.request_id)
    return made
