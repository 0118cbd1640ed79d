"""Prometheus' own tool for rules and expressions.

Knows how it is asked; nothing of what is in them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="needs promtool (Debian's package prometheus)")


def promtool(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROMTOOL), *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )


def write_rules(path: Path, expressions: dict[str, str]) -> Path:
    """A file of recording rules, whose names are the keys: promtool reads expressions nowhere else."""
    rules = [{"record": name, "expr": expression} for name, expression in expressions.items()]
    path.write_text(yaml.safe_dump({"groups": [{"name": "expressions", "rules": rules}]}))
    return path


def unit_tests(path: Path, rules: Path, tests: list[dict[str, Any]]) -> Path:
    """A file for `promtool test rules`; samples and rules are a minute apart."""
    document = {"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": tests}
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path
