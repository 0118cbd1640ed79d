"""A test that fails shows the boot log of the machine that it has: nobody can look at it afterwards.

A plugin of pytest, which tests/conftest.py takes in; knows nothing of what failed."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from tests.support.systemd_machine import SystemdMachine


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        machines = {value for value in item.funcargs.values() if isinstance(value, SystemdMachine)}
        report.sections += [("boot log of the systemd machine", machine.boot_log()) for machine in machines]
    return report
