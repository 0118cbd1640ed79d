"""Whose turn it is among parties that share something: virtual time, which each turn moves on.

Pure; knows nothing of what a turn is, nor of clocks."""

from __future__ import annotations

from collections.abc import Hashable

# So many parties are known before it is looked which of them may be forgotten.
KNOWN_MIN = 64


class Party:
    """One of those that share; made by `Turns.join`."""

    __slots__ = ("_among", "key", "members", "start", "waiting")

    def __init__(self, key: Hashable, among: Turns) -> None:
        self.key = key
        self.start = 0.0
        """The virtual time of its next turn: who has the least is next."""
        self.waiting = 0
        """How many of its calls wait."""
        self.members: Turns | None = None
        """The turns of those that share this party's own, once there are some."""
        self._among = among

    def take_turn(self) -> None:
        """With a call that still counts as waiting."""
        self._among.take(self)

    def leave(self) -> None:
        """One of its calls waits no more."""
        self._among.leave(self)


class Turns:
    """Start-time fair queuing (Goyal, Vin and Cheng, 1996): a turn costs a party 1, and who has not waited
    for long begins at the present. Unlike theirs, the present also moves by a share of each turn: parties
    that were never seen before, one after the other, cannot keep a known one from its second turn."""

    __slots__ = ("_forget_at", "_waiting", "now", "parties")

    def __init__(self) -> None:
        self.now = 0.0
        self.parties: dict[Hashable, Party] = {}
        """Those that wait, and others as long as their last turn counts."""
        self._waiting = 0
        self._forget_at = KNOWN_MIN

    def join(self, key: Hashable) -> Party:
        """One more call of that party waits."""
        party = self.parties.get(key) or self._meet(key)
        if not party.waiting:
            party.start = max(party.start, self.now)
            self._waiting += 1
        party.waiting += 1
        return party

    def take(self, party: Party) -> None:
        self.now = max(party.start, self.now + 1 / (self._waiting + 1))
        # It may have been held up for long: nothing of that is made up for, others would pay for it.
        party.start = max(party.start + 1, self.now)

    def leave(self, party: Party) -> None:
        party.waiting -= 1
        if not party.waiting:
            self._waiting -= 1
            if party.start <= self.now:
                del self.parties[party.key]

    def _meet(self, key: Hashable) -> Party:
        if len(self.parties) >= self._forget_at:
            # Whoever would begin at the present anyway. Every turn moves it on, so the others are few.
            known = self.parties.values()
            self.parties = {each.key: each for each in known if each.waiting or each.start > self.now}
            self._forget_at = 2 * len(self.parties) + KNOWN_MIN
        party = self.parties[key] = Party(key, self)
        return party
