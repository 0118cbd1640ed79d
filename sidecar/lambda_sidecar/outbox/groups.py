"""Rows with a group_key: one of each key is under way at a time, in the order of their ids.

Pure; a key is whatever makes rows one group. All rows of a key go through outbox_waiting, whose index finds
the first one of each."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Groups(Generic[Key]):
    """A key is known from its first row until none waits any more."""

    def __init__(self) -> None:
        self._first: dict[Key, int | None] = {}
        """The id of the row that is under way; None: the key's first row waits for its time, for room, or to
        be read."""
        self._to_read: dict[Key, None] = {}
        self._full: dict[str, dict[Key, None]] = {}
        """Keys by the function of their first row, which had no room. Some may have moved on since."""

    def know(self, key: Key, row_id: int | None = None) -> None:
        """A row of that key waits in the table, or its time has come: the first one is read. `row_id` has
        just been let go: it was under way, or was seen in the table before and taken for that."""
        if self._first.get(key) in (None, row_id):
            self._first[key] = None
            self._to_read[key] = None

    def know_new(self, keys: Iterable[Key]) -> None:
        """Rows of these keys wait in the table; keys that are known already stay as they are."""
        for key in keys:
            if key not in self._first:
                self.know(key)

    def to_read(self, most: int) -> list[Key]:
        """Keys whose first row is to be read."""
        return [key for key, _ in zip(self._to_read, range(most), strict=False)]

    def reading(self, key: Key) -> None:
        """It is read from now on, with one of `begin`, `full`, `forget` or none at the end. If something
        becomes known of it meanwhile, it is read once more."""
        self._to_read.pop(key, None)

    def begin(self, key: Key, row_id: int) -> None:
        """That row is the key's first, and under way."""
        self._first[key] = row_id
        self._to_read.pop(key, None)

    def end(self, key: Key) -> None:
        """The row under way has left the table, or waits again: the first one is read anew."""
        self._first[key] = None
        self._to_read[key] = None

    def full(self, key: Key, function_name: str) -> None:
        """Its first row's function has no room for it: `has_room` comes then."""
        self._full.setdefault(function_name, {})[key] = None

    def full_functions(self) -> list[str]:
        """The functions of which `full` has spoken."""
        return list(self._full)

    def has_room(self, function_name: str, rows: int) -> None:
        """For so many, which may be none; those keys are read again."""
        keys = self._full[function_name]
        for key in list(itertools.islice(keys, rows)):
            del keys[key]
            if self._first.get(key, 0) is None:
                self._to_read[key] = None
        if not keys:
            del self._full[function_name]

    def read_again(self, most: int) -> None:
        """Some of the keys with no row under way, in turn."""
        for key, row_id in list(itertools.islice(self._first.items(), most)):
            self._first[key] = self._first.pop(key)
            if row_id is None:
                self._to_read[key] = None

    def forget(self, key: Key) -> None:
        """No row waited any more when it was read."""
        if key not in self._to_read:
            self._first.pop(key, None)

    def clear(self) -> None:
        """But for those with a row under way."""
        self._first = {key: row_id for key, row_id in self._first.items() if row_id is not None}
        self._to_read.clear()
        self._full.clear()
