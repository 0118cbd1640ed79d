"""Findings as text for people and as JSON for programs.

Only writes; decides nothing."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

from lambda_sidecar.migrate.findings import Block

_KINDS = {"grant": "needs a grant", "edit": "needs an edit", "look": "look"}


def as_text(blocks: list[Block]) -> Iterator[str]:
    """The lines. Characters by which a name in the database could steer a terminal are replaced."""
    for line in _lines(blocks):
        yield "".join(
            character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line
        )


def _lines(blocks: list[Block]) -> Iterator[str]:
    for block in blocks:
        yield block.title
        yield from (f"  {note}" for note in block.notes)
        if not block.findings:
            yield "  works unchanged"
        for finding in block.findings:
            yield f"  {_KINDS[finding.kind]}: {finding.text}"
            yield from (f"      {statement}" for statement in finding.statements)
        yield ""
    count = sum(1 for block in blocks if block.findings)
    if not blocks:
        yield "nothing here uses Lambda, or what only Aurora has"
    elif count:
        yield f"{count} of {len(blocks)} need something done before they work on stock MySQL with lambda-udf"
    else:
        yield f"all {len(blocks)} work unchanged on stock MySQL with lambda-udf"


def as_json(blocks: list[Block]) -> str:
    return json.dumps([dataclasses.asdict(block) for block in blocks], indent=2, ensure_ascii=False)
