"""A folder with a template: its functions by name, read anew when the template has changed.

Knows when to read; what a template means is in sam.py and serverless.py."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lambda_sidecar.local.errors import FunctionConfigError
from lambda_sidecar.local.function import Function
from lambda_sidecar.local.inventory import Inventory
from lambda_sidecar.local.template import document, sam, serverless
from lambda_sidecar.local.template.declared import Declared, Surroundings, function_of
from lambda_sidecar.local.template.names import by_name, without_twins

_logger = logging.getLogger(__name__)
_Reader = Callable[[Mapping[str, Any], Path, Surroundings], tuple[list[Declared], list[str]]]
_READERS: dict[str, _Reader] = {
    "template.yaml": sam.read,
    "template.yml": sam.read,
    "serverless.yml": serverless.read,
    "serverless.yaml": serverless.read,
}


def templates_in(folder: Path) -> list[Path]:
    """The templates at the top of the folder, of which the first counts. Raises OSError."""
    return [file for file in (folder / name for name in _READERS) if file.is_file()]


class Project:
    """The functions of one template."""

    def __init__(self, file: Path, surroundings: Surroundings) -> None:
        self.file = file
        self._surroundings = surroundings
        self._state: tuple[int, int] | None = None
        self._functions: list[Declared] = []
        self._by_name: dict[str, Declared] = {}
        self._notes: list[str] = []
        self._inventories: dict[Path, Inventory] = {}
        self._known: dict[str, Function] = {}

    def check(self) -> list[Function]:
        """The functions that can run. Raises FunctionConfigError for the template as a whole."""
        return self._sorted_out()[0]

    def unserved(self) -> list[str]:
        """Why functions cannot run, and what of the template is left out: a sentence for each. Raises as
        `check` does."""
        functions, problems = self._sorted_out()
        what = [] if functions or problems else [f"{self.file} has no function"]
        return [*what, *problems, *self._notes]

    def _sorted_out(self) -> tuple[list[Function], list[str]]:
        self._read()
        functions, problems = [], []
        for declared in self._functions:
            try:
                functions.append(self._function(declared))
            except FunctionConfigError as error:
                problems.append(str(error))
        return functions, problems

    def find(self, name: str) -> Function | None:
        """The function of that name, or of that key in the template, as it is now; None if there is none.
        Raises FunctionConfigError for one that cannot run."""
        if self._read():  # not at the start, which says them all
            for note in self._notes:
                _logger.warning("local Lambda: %s", note)
        declared = self._by_name.get(name)
        return None if declared is None else self._function(declared)

    def why_none(self, name: str) -> str:
        """Why `find` has found no function of that name: those that there are."""
        return f"{self.file} has no function {name}, only {', '.join(sorted(self._by_name)) or 'none at all'}"

    def _function(self, declared: Declared) -> Function:
        try:
            revision = self._revision(declared)
            known = self._known.get(declared.key)
            if known is None or known.revision != revision:
                known = self._known[declared.key] = function_of(declared, self.file, revision)
        except OSError as error:
            self._inventories.pop(declared.folder, None)
            raise FunctionConfigError(
                f"{self.file}: function {declared.key}: {error.filename} cannot be read: {error.strerror}"
            ) from error
        return known

    def _read(self) -> bool:
        """Whether the template has changed, and was read."""
        try:
            found = self.file.stat()
        except OSError as error:
            raise FunctionConfigError(f"{self.file} cannot be read: {error.strerror}") from error
        state = (found.st_mtime_ns, found.st_size)
        if state == self._state:
            return False
        self._known, self._inventories = {}, {}
        whole, notes = document.read(self.file)
        try:
            functions, more = _READERS[self.file.name](whole, self.file.parent, self._surroundings)
        except RecursionError:
            raise FunctionConfigError(f"{self.file} refers to itself without end") from None
        self._functions = without_twins(functions)
        self._by_name, shadowed = by_name(self._functions)
        more += [f"function {one.key}: {note}" for one in self._functions for note in one.notes]
        self._notes = [f"{self.file}: {note}" for note in (*notes, *more, *shadowed)]
        self._state = state
        return True

    def _revision(self, declared: Declared) -> str:
        """Of the template and of the function's folder: either makes new workers."""
        inventory = self._inventories.get(declared.folder)
        if inventory is None:
            inventory = self._inventories[declared.folder] = Inventory(declared.folder)
        return f"{self._state} {inventory.revision()}"
