"""Verdicts become the statements of one transaction.

Pure; knows verdicts and the statements that settle; nothing of connections, nor of what comes of them."""

from __future__ import annotations

from collections.abc import Iterator

from lambda_sidecar.outbox import changes
from lambda_sidecar.outbox.row import Row
from lambda_sidecar.outbox.verdict import Accepted, Dead, Later, Parked, Verdict

Settled = tuple[Row, Verdict]


def due_at(row: Row, verdict: Verdict) -> float:
    """Seconds since 1970; 0: at once, or it is over."""
    if isinstance(verdict, Later):
        return verdict.at
    if isinstance(verdict, Parked) and row.group_key is None:
        return row.delayed_until or row.created
    return 0.0


def statements(batch: list[Settled], deduplication_hours: float) -> Iterator[str]:
    """All that has to be done for these rows, in an order that two of them may have."""
    moved = [
        (row, due_at(row, verdict) or None, verdict.error if isinstance(verdict, Later) else None)
        for row, verdict in batch
        if isinstance(verdict, Later | Parked) and not row.is_waiting
    ]
    yield from changes.copy_to_waiting(moved)
    for row, verdict in batch:
        yield from _of_row(row, verdict, deduplication_hours)
    accepted = [row for row, verdict in batch if isinstance(verdict, Accepted)]
    yield from changes.delete([*accepted, *(row for row, _, _ in moved)])


def _of_row(row: Row, verdict: Verdict, deduplication_hours: float) -> Iterator[str]:
    match verdict:
        case Accepted(result=result) if row.keep_result:
            yield from changes.keep_result(
                row,
                status_code=result.status_code,
                payload=result.payload,
                function_error=result.function_error,
                executed_version=result.executed_version,
                request_id=result.request_id,
            )
        case Later(error=error, at=at) if row.is_waiting:
            yield changes.put_off(row, at, error)
        case Dead(error=error):
            yield from changes.bury(row, error)
        case Parked() if row.deduplication_key is not None:
            yield changes.remember_key(row, deduplication_hours)
            yield changes.drop_duplicate(row)


def dropped(batch: list[Settled], wanted: list[str], changed: list[int]) -> int:
    """How many duplicates there were among the batch; `changed` is what came of its statements `wanted`."""
    drops = {changes.drop_duplicate(row) for row, _ in batch if row.deduplication_key is not None}
    return sum(count for statement, count in zip(wanted, changed, strict=True) if statement in drops)
