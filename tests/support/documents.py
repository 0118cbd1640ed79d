"""Which documents there are, and what in them runs.

Knows blocks (markdown.py); nothing of how they are run."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from tests.support.checkout import ROOT
from tests.support.markdown import Block, blocks

# Every statement and command in these runs.
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EVERY_DOCUMENT = sorted({*DOCUMENTS, *ROOT.glob("[A-Z]*.md"), *(ROOT / "bench").glob("*.md")})


def runnable(path: Path) -> list[tuple[Block, str]]:
    """Each block that can run, with the table below it that mysql is to print; empty where there is none."""
    return [
        (block, below.text if below and below.text.startswith("+--") else "")
        for block, below in itertools.pairwise([*blocks(path), None])
        if block and block.language in ("sql", "sh")
    ]


def anchors(path: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
