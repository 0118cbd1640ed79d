"""AWS's runtime client for Node.js, aws-lambda-ric, where functions find it.

Knows which version goes with which node; nothing of functions."""

from __future__ import annotations

import functools
import json
import subprocess
from pathlib import Path

import pytest
from tests.support.npm import NoPackage, installed, node

# The newest of each line. Version 4 refuses handlers with a callback, as Lambda does from Node.js 24 on.
_NEWEST, _FOR_OLDER_NODE = "4.0.2", "3.3.0"


def version() -> int:
    """The line that the tests use, 3 or 4. Skips as link_node_modules does."""
    package = json.loads((_client() / "node_modules/aws-lambda-ric/package.json").read_text())
    return int(package["version"].partition(".")[0])


def link_node_modules(folder: Path) -> None:
    """Makes it findable from everything in the folder. Skips the test where there is no node or no registry."""
    (folder / "node_modules").symlink_to(_client() / "node_modules")


@functools.cache
def _client() -> Path:
    try:
        return installed("aws-lambda-ric", _NEWEST if _major() >= 24 else _FOR_OLDER_NODE)
    except NoPackage as error:
        pytest.skip(f"the tests of Node.js functions are left out: {error}")


def _major() -> int:
    said = subprocess.run([node(), "--version"], check=True, capture_output=True, text=True)
    return int(said.stdout.removeprefix("v").partition(".")[0])
