"""Where the parts of this checkout are.

Knows paths alone: starts nothing, and imports nothing of the project."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FUNCTIONS = ROOT / "examples/functions"
