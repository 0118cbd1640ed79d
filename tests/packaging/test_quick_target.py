"""make test-quick works in a new clone on a machine that has Python and make.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import re
import subprocess

from tests.support.checkout import ROOT


def test_the_quick_tests_need_neither_mysql_nor_the_library_nor_what_builds_it() -> None:
    planned = subprocess.run(
        ["make", "-n", "-B", "--no-print-directory", "test-quick"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert re.findall(r"install-packages\.sh ?(\w*)", planned) == ["python"]
    assert re.search("-m pytest .*tests/pure", planned.splitlines()[-1])
    assert [word for word in ("-C udf", "lambda_udf.so", "packaging/mysql") if word in planned] == []
