"""Rows with a group_key: one of each key is under way at a time, in the order of their ids.

Pure. All rows of a key go through outbox_waiting, whose index finds the first one of each."""

from __future__ import annotations


class Groups:
    """A key is known from its first row until none waits any more."""

    def __init__(self) -> None:
        self._first: dict[str, int | None] = {}
        """The id of the row that is under way; None: the key's next row waits for its time, or to be read."""
        self._to_read: dict[str, None] = {}

    def know(self, key: str) -> None:
        """A row of that key waits in the table now."""
        if key not in self._first:
            self._first[key] = None
            self._to_read[key] = None

    def is_under_way(self, key: str) -> bool:
        return self._first.get(key) is not None

    def begin(self, key: str, row_id: int) -> None:
        """That row is the key's first, and under way."""
        self._first[key] = row_id
        self._to_read.pop(key, None)

    def end(self, key: str) -> None:
        """The row under way has left the table, or waits again: the first one is read anew."""
        self._first[key] = None
        self._to_read[key] = None

    def look_again(self, key: str) -> None:
        """The time of a row has come."""
        if not self.is_under_way(key):
            self._first[key] = None
            self._to_read[key] = None

    def wait(self, key: str) -> None:
        """Its first row waits for its time: `look_again` comes then."""
        self._to_read.pop(key, None)

    def forget(self, key: str) -> None:
        """No row waits any more."""
        self._to_read.pop(key, None)
        self._first.pop(key, None)

    def to_read(self, most: int) -> list[str]:
        """Keys whose first row is to be read."""
        return [key for key, _ in zip(self._to_read, range(most), strict=False)]

    def clear(self) -> None:
        """But for those with a row under way."""
        self._first = {key: row_id for key, row_id in self._first.items() if row_id is not None}
        self._to_read.clear()
