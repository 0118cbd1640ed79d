"""The programs that run functions: how they are found, and what asking them costs.

Each test's name is the sentence that it proves."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambda_sidecar.local import runtimes
from lambda_sidecar.local.errors import FunctionConfigError


def test_a_node_that_says_no_version_is_asked_again_after_a_while_and_not_at_each_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop waits for it."""
    node, asked = tmp_path / "node", tmp_path / "asked"
    node.write_text(f"#!/bin/sh\necho x >>'{asked}'\n")
    node.chmod(0o755)
    for _ in range(3):
        with pytest.raises(FunctionConfigError, match="does not say a version"):
            runtimes._major(str(node))
    assert asked.read_text() == "x\n"
    node.write_text("#!/bin/sh\necho v22.1.0\n")
    monkeypatch.setattr(runtimes, "_silent_until", {})
    assert runtimes._major(str(node)) == 22
