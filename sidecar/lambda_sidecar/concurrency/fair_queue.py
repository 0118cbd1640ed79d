"""Which of the waiting calls is next: accounts in turn, within an account its streams in turn, then arrival.

Order only (whose turn it is: turns.py); knows nothing of slots, tasks or clocks."""

from __future__ import annotations

import itertools
from bisect import bisect_left, insort
from collections.abc import Hashable
from operator import itemgetter
from typing import Generic, TypeVar

from lambda_sidecar.concurrency.turns import Party, Turns

Due = tuple[float, ...]
"""Compared with others of its level: the virtual times of the next turns, from the account down, and the
number of the call that is first. The least is next."""

T = TypeVar("T")
_by_due = itemgetter(0)


class _Node:
    """An entry of its parent's line: a function, an account, a stream; or a Place, which has no line.

    What is due later than it was filed is found when it comes first, and filed anew then: a turn of an
    account or a stream moves all that it has in the lines of other functions too. What is due sooner must be
    filed anew at once; only an addition makes it so. Two are never due at the same time: a call's number is
    in it."""

    __slots__ = ("_line", "filed", "key", "nodes", "parent", "party")

    def __init__(self, parent: _Node | None, key: Hashable, party: Party | None = None) -> None:
        self.parent = parent
        self.key = key
        self.party = party
        self.filed: Due | None = None
        self.nodes: dict[Hashable, _Node] = {}
        self._line: list[tuple[Due, _Node]] = []

    @property
    def is_empty(self) -> bool:
        """Nothing is filed."""
        return not self._line

    def line(self) -> list[_Node]:
        """What is filed."""
        return [node for _, node in self._line]

    def child(self, key: Hashable, party: Party | None = None) -> _Node:
        """The one under that key, made if there is none."""
        node = self.nodes.get(key)
        if node is None:
            node = self.nodes[key] = _Node(self, key, party)
        return node

    def due(self) -> Due:
        due = self.first().due()
        return due if self.party is None else (self.party.start, *due)

    def first(self) -> _Node:
        """Of a line that is not empty."""
        while True:
            filed, node = self._line[0]
            if node.due() == filed:
                return node
            self.file(node)

    def file(self, node: _Node) -> None:
        self.drop(node)
        node.filed = due = node.due()
        insort(self._line, (due, node), key=_by_due)

    def drop(self, node: _Node) -> None:
        if node.filed is not None:
            del self._line[bisect_left(self._line, node.filed, key=_by_due)]
            node.filed = None


class Place(_Node, Generic[T]):
    """Of one call; `item` is whatever waits there."""

    __slots__ = ("_due", "function", "had_turn", "item")

    def __init__(self, stream: _Node, item: T, function: str, due: Due, *, had_turn: bool) -> None:
        super().__init__(stream, None)
        self.item = item
        self.function = function
        self.had_turn = had_turn
        self._due = due

    def due(self) -> Due:
        return self._due


class FairQueue(Generic[T]):
    """Places with items of type T. A step costs the logarithm of how many accounts and streams wait."""

    def __init__(self) -> None:
        self._root = _Node(None, None)
        self._accounts = Turns()
        self._numbers = itertools.count()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def functions(self) -> list[str]:
        """Those for which calls wait, also where they were put aside."""
        return [str(name) for name in self._root.nodes]

    def add(
        self,
        item: T,
        function: str,
        account: Hashable,
        stream: Hashable,
        *,
        again_since: float | None = None,
    ) -> Place[T]:
        """The last one of its stream. One that had its turn, for nothing, and has been there since
        `again_since` goes before those of its stream that had none, and before those that came later."""
        party = self._accounts.join(account)
        if party.members is None:
            party.members = Turns()
        member = party.members.join(stream)
        of_function = self._root.child(function)
        is_aside = of_function.filed is None and not of_function.is_empty
        of_account = of_function.child(account, party)
        of_stream = of_account.child(stream, member)
        number = next(self._numbers)
        due = (number,) if again_since is None else (-1, again_since, number)
        place = Place(of_stream, item, function, due, had_turn=again_since is not None)
        self._length += 1
        of_stream.file(place)
        of_account.file(of_stream)
        of_function.file(of_account)
        if not is_aside:
            self._root.file(of_function)
        return place

    def first(self) -> Place[T] | None:
        """Who is next, of the functions that are not put aside."""
        if self._root.is_empty:
            return None
        node = self._root
        while not isinstance(node, Place):
            node = node.first()
        return node

    def of(self, function: str) -> list[Place[T]]:
        """All that wait for it."""
        node = self._root.nodes.get(function)
        accounts = () if node is None else node.nodes.values()
        streams = (stream for account in accounts for stream in account.nodes.values())
        return [place for stream in streams for place in stream.line() if isinstance(place, Place)]

    def serve(self, place: Place[T]) -> None:
        """It had its turn, and leaves. Who had one for nothing does not pay for the second."""
        node: _Node | None = None if place.had_turn else place
        while node is not None:
            if node.party is not None:
                node.party.take_turn()
            node = node.parent
        self.leave(place)

    def leave(self, place: Place[T]) -> None:
        """Without a turn. Who has left may leave again."""
        if place.filed is None:
            return
        self._length -= 1
        node: _Node = place
        emptied = True
        while (parent := node.parent) is not None:
            if node.party is not None:
                node.party.leave()
            if emptied:
                parent.drop(node)
                parent.nodes.pop(node.key, None)
                emptied = parent.is_empty
            node = parent

    def put_aside(self, function: str) -> None:
        """It has no room: its calls are passed by."""
        if (node := self._root.nodes.get(function)) is not None:
            self._root.drop(node)

    def take_back(self, function: str) -> None:
        """It has room again, as far as anybody knows."""
        if (node := self._root.nodes.get(function)) is not None:
            self._root.file(node)
