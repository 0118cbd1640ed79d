"""The rows that this sidecar has in hand: read, and not settled yet.

Pure; knows ids, and nothing of what is done with a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lambda_sidecar.outbox.row import Row


class Held:
    """A row that is in hand is passed by when it is read once more."""

    def __init__(self) -> None:
        self._rows: dict[int, Row] = {}
        self._lately: set[int] = set()
        """Rows that were let go since the reading that is under way began."""

    def __contains__(self, row_id: int) -> bool:
        return row_id in self._rows

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def get(self, row_id: int) -> Row | None:
        return self._rows.get(row_id)

    def hold(self, row: Row) -> None:
        self._rows[row.id] = row

    def let_go(self, row: Row) -> None:
        """What became of it is committed: what the reading under way sees of it may be older."""
        self._rows.pop(row.id, None)
        self._lately.add(row.id)

    def give_back(self, row: Row) -> None:
        """Nothing became of it: it may be read again."""
        self._rows.pop(row.id, None)

    def was_let_go(self, row: Row) -> bool:
        """Since the reading that is under way began."""
        return row.id in self._lately

    def begin_reading(self) -> None:
        """Before rows are read, one reading at a time."""
        self._lately.clear()

    def is_new(self, row: Row) -> bool:
        """Of a row that has just been read: whether nobody has it in hand. False also for one that was let go
        while it was being read: what was read is older. And for one that waits already while it is held as
        what it was before: nobody knows yet that this is committed."""
        return row.id not in self._rows and row.id not in self._lately

    def new(self, rows: Iterable[Row]) -> list[Row]:
        return [row for row in rows if self.is_new(row)]
