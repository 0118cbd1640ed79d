"""Finds the objects that reach Lambda, the ways on which they do, and the privileges that this needs.

Pure; knows which account MySQL puts in force for an object, but no account's grants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lambda_sidecar.migrate.inventory import SqlObject
from lambda_sidecar.migrate.usage import Usage, read_usage


@dataclass(frozen=True)
class Needs:
    """The needs of the account in force: invoke for INVOKE_LAMBDA, execute for EXECUTE on mysql.lambda_async.

    sets_role  the body activates the role by itself"""

    invoke: bool = False
    execute: bool = False
    sets_role: bool = False

    def __bool__(self) -> bool:
        return self.invoke or self.execute


class Callers:
    """The objects by name, with the usage of their texts."""

    def __init__(self, objects: Iterable[SqlObject]) -> None:
        self._usage = {one: read_usage(one.text or "", one.sql_mode) for one in objects}
        # A trigger or an event is called by nobody; a routine and a view may share a name.
        self._routines = _by_name(one for one in self._usage if one.is_routine)
        self._views = _by_name(one for one in self._usage if one.kind == "view")

    def usage(self, one: SqlObject) -> Usage:
        return self._usage[one]

    def needs(self, one: SqlObject) -> Needs:
        """The needs of the account in whose name it runs, for its own text and for calls in that name."""
        involved = [one, *self._reached(one, in_its_name=True)]
        used = [self._usage[other] for other in involved]
        return Needs(
            invoke=any(usage.invokes for usage in used),
            execute=any(usage.procedure for usage in used),
            sets_role=self._usage[one].sets_role,
        )

    def notes(self, one: SqlObject) -> list[str]:
        """The ways on which it reaches Lambda, one sentence each; none if it does not."""
        notes = [f"calls {what}" for what in _direct(self._usage[one])]
        for other in sorted(self._reached(one, in_its_name=False), key=str):
            direct = _direct(self._usage[other])
            if direct:
                notes.append(f"reaches {' and '.join(direct)} through {other}")
        return notes

    def _called(self, one: SqlObject) -> Iterator[SqlObject]:
        usage = self._usage[one]
        for references, known in ((usage.calls, self._routines), (usage.mentions, self._views)):
            for schema, name in references:
                yield from known.get((schema or one.schema.lower(), name), ())

    def _reached(self, one: SqlObject, *, in_its_name: bool) -> set[SqlObject]:
        """The objects that it reaches by calls; with `in_its_name`, only over those that keep its account."""
        reached: set[SqlObject] = set()
        waiting = [one]
        while waiting:
            for other in self._called(waiting.pop()):
                if other not in reached and (other.runs_as_caller or not in_its_name):
                    reached.add(other)
                    waiting.append(other)
        reached.discard(one)
        return reached


def _by_name(objects: Iterable[SqlObject]) -> dict[tuple[str, str], list[SqlObject]]:
    named: dict[tuple[str, str], list[SqlObject]] = {}
    for one in objects:
        named.setdefault((one.schema.lower(), one.name.lower()), []).append(one)
    return named


def _direct(usage: Usage) -> list[str]:
    direct = sorted(usage.functions)
    if usage.procedure:
        direct.append("the procedure mysql.lambda_async")
    if usage.prepared:
        direct.append("a lambda function by PREPARE, as a string in it looks like")
    return direct


def callers(objects: Iterable[SqlObject]) -> Callers:
    return Callers(objects)
