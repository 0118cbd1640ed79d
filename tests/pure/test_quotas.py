"""Lambda's quotas stand once in Python and once in C, and both sides have the same.

Reads C source; each test's name is the sentence that it proves."""

from __future__ import annotations

import ast
import re

import pytest
from tests.support.checkout import ROOT
from tests.support.sidecar_modules import modules

from lambda_sidecar import quotas
from lambda_sidecar.calls.batch.batch import ROWS_MAX

# The names of C, which may have the prefix QUOTA_, for the numbers of Python.
IN_C = {
    "REQUEST_RESPONSE_MAX": quotas.REQUEST_RESPONSE_MAX,
    "EVENT_MAX": quotas.EVENT_MAX,
    "RESPONSE_MAX": quotas.RESPONSE_MAX,
    "RESULT_MAX": quotas.RESPONSE_MAX,
    "CLIENT_CONTEXT_MAX": quotas.CLIENT_CONTEXT_MAX,
    "FUNCTION_NAME_MAX": quotas.FUNCTION_NAME_MAX,
    "LOG_TAIL_MAX": quotas.LOG_TAIL_MAX,
    "RUN_MAX_MS": int(quotas.TIMEOUT_MAX_SECONDS * 1000),
}
_DEFINE = re.compile(r"^#define +(?:QUOTA_)?(\w+) +(\d+)u?\b", re.MULTILINE)


def defined_in_c() -> list[tuple[str, int]]:
    files = sorted((ROOT / "udf").glob("*.[ch]"))
    return [(name, int(number)) for path in files for name, number in _DEFINE.findall(path.read_text())]


def test_the_library_and_the_sidecar_have_the_same_quotas() -> None:
    found = [(name, number) for name, number in defined_in_c() if name in IN_C]
    assert found == [(name, IN_C[name]) for name, _ in found]
    assert len({name for name, _ in found}) == len(found), "a quota is defined twice"
    assert {"REQUEST_RESPONSE_MAX", "EVENT_MAX", "RESPONSE_MAX", "FUNCTION_NAME_MAX"} <= {n for n, _ in found}


def test_the_library_sends_no_more_rows_in_a_batch_than_the_sidecar_takes() -> None:
    assert [number for name, number in defined_in_c() if name == "CONTRACT_BATCH_ROWS_MAX"] == [ROWS_MAX]


@pytest.mark.parametrize(
    "quota",
    [quotas.REQUEST_RESPONSE_MAX, quotas.EVENT_MAX, quotas.RESPONSE_MAX, quotas.CLIENT_CONTEXT_MAX],
)
def test_a_quota_stands_in_one_file_of_the_sidecar(quota: int) -> None:
    holding = [
        path.as_posix()
        for path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value == quota
    ]
    assert holding == ["quotas.py"]
