"""Which function of a project's file a name means: that in AWS, or the key in the file.

Knows functions as they are declared; nothing of the file."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from lambda_sidecar.local.template.declared import Declared


def without_twins(functions: list[Declared]) -> list[Declared]:
    """Of several with one name none can run: AWS takes only one; here one would answer for another."""
    keys = defaultdict(list)
    for one in functions:
        keys[one.name].append(one.key)
    return [
        one
        if len(keys[one.name]) == 1
        else replace(
            one,
            problem=f"{' and '.join(keys[one.name])} have the same name, {one.name}; give each its own",
        )
        for one in functions
    ]


def by_name(functions: list[Declared]) -> tuple[dict[str, Declared], list[str]]:
    """The functions by their keys and by their names. Where one's key is another's name, it counts as the
    name, because SQL has the names that are deployed; a note says so."""
    found = {one.key: one for one in functions}
    notes = [
        f"function {one.name} is called by its name, {found[one.name].name}: {one.name} is function {one.key}"
        for one in functions
        if found.get(one.name, one).name != one.name
    ]
    return found | {one.name: one for one in functions}, notes
