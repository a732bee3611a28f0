"""The account of the groups audit: every member got what was sent while it was one, in order.

A message was for a member if it was sent after its joining was done and before its leaving began.
It was not if it was sent before the joining began, or after the leaving was done. Between, either
is right, but there is no gap: what a member gets of each sender is a contiguous run. What a killed
process had not written down goes with it.

A message that a whole holder did not get was lost at capacity, if the layer has counted it.
"""

from __future__ import annotations

import bisect
import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from tests.audit.logs import read_lines

__all__ = ["GroupAccount", "GroupHistory", "Membership", "read_group_history", "settle_groups"]

FOREVER = float("inf")

#: All members of a holder that stay.
STAR = "*"


@dataclass
class Membership:
    """When a channel joined and left."""

    joining: float = FOREVER
    joined: float = FOREVER
    leaving: float = FOREVER
    left: float = FOREVER


@dataclass
class Messages:
    """What one sender has sent, by number from 1."""

    began: list[float] = field(default_factory=list)
    done: list[float] = field(default_factory=list)


@dataclass
class GroupHistory:
    """Everything the account is made of."""

    members: dict[str, Membership] = field(default_factory=dict)
    messages: dict[str, Messages] = field(default_factory=dict)
    #: Holder → member → sender → numbers, as they came.
    got: dict[str, dict[str, dict[str, list[int]]]] = field(default_factory=dict)
    #: Holders that were killed, and when.
    killed: dict[str, float] = field(default_factory=dict)
    #: Seconds until the members of each had left the group.
    vanished: list[float] = field(default_factory=list)
    counted_lost: int = 0


@dataclass
class GroupAccount:
    """The figures of an audit of groups; see `is_balanced`."""

    messages: int = 0
    members_that_stayed: int = 0
    members_that_came_and_went: int = 0
    delivered: int = 0
    lost_at_capacity: int = 0
    counted_lost: int = 0
    kills: int = 0
    slowest_to_vanish: float = 0.0
    # These must be 0.
    missed: int = 0
    twice: int = 0
    out_of_order: int = 0
    not_for_them: int = 0
    too_slow_to_vanish: int = 0
    disagreements: list[str] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)

    @property
    def is_balanced(self) -> bool:
        """Whether everybody got what was theirs."""
        wrong = (self.missed, self.twice, self.out_of_order, self.not_for_them)
        return not any((*wrong, self.too_slow_to_vanish, self.disagreements))

    def dump(self) -> dict[str, object]:
        """Return it as plain data."""
        return {**asdict(self), "is_balanced": self.is_balanced}


def read_group_history(folder: str, history: GroupHistory) -> None:
    """Add what the logs in `folder` say."""
    for _, lines in read_lines(folder, "members"):
        for line in lines:
            kind, time, channel = line.split(" ")
            membership = history.members.setdefault(channel, Membership())
            name = {"a": "joining", "A": "joined", "d": "leaving", "D": "left"}[kind]
            setattr(membership, name, float(time))
    for sender, lines in read_lines(folder, "sent"):
        messages = history.messages[sender] = Messages()
        for line in lines:
            (messages.began if line[0] == ">" else messages.done).append(float(line.split(" ")[1]))
        messages.done += [FOREVER] * (len(messages.began) - len(messages.done))
    for holder, lines in read_lines(folder, "got"):
        history.got[holder] = _read_got(holder, lines, set(history.members))


def _read_got(holder: str, lines: list[str], known: set[str]) -> dict[str, dict[str, list[int]]]:
    """Return what each member got; what all that stay got is written out for those that differ."""
    events = []
    partial: set[str] = set()
    for line in lines:
        _, sender, digits, names = line.split(" ")
        members = names.split(",")
        events.append((sender, int(digits), members))
        partial.update(members)
    got: dict[str, dict[str, list[int]]] = {}
    for member in partial:
        got[member] = defaultdict(list)
    for sender, number, members in events:
        for member in members:
            got[member][sender].append(number)
        if members[0] == STAR:
            # Not those that came and went: their names are there.
            for member in partial - {STAR}:
                if member.startswith("m"):
                    got[member][sender].append(number)
    stars = got.pop(STAR, {})
    for channel in known:
        reader, _, member = channel.partition("!")
        if reader == holder and member.startswith("m"):
            got.setdefault(member, stars)
    return got


def settle_groups(history: GroupHistory, vanish_within: float) -> GroupAccount:
    """Return the account of a history."""
    account = GroupAccount(counted_lost=history.counted_lost, kills=len(history.killed))
    account.messages = sum(len(each.began) for each in history.messages.values())
    account.slowest_to_vanish = max(history.vanished, default=0.0)
    account.too_slow_to_vanish = sum(each > vanish_within for each in history.vanished)
    for holder in {channel.partition("!")[0] for channel in history.members}:
        _Holder(history, account, holder).settle()
    lost, counted = account.lost_at_capacity, account.counted_lost
    # A killed holder's queue may overflow until it is buried, and its members got nothing anyway.
    if lost > counted or (counted > lost == 0 and not history.killed):
        account.disagreements.append(f"lost at capacity: {lost}, the layer has counted {counted}")
    return account


class _Holder:
    """One process that held members, and what they got."""

    def __init__(self, history: GroupHistory, account: GroupAccount, name: str) -> None:
        self._account = account
        self._history = history
        self._name = name
        self._got = history.got.get(name, {})
        # Those that stay and always got a message together share one dict.
        different = list({id(got): got for got in self._got.values()}.values())
        self._any = {
            sender: {number for got in different for number in got.get(sender, ())}
            for sender in history.messages
        }
        self._checked: dict[int, Counter[str]] = {}

    def settle(self) -> None:
        for channel, membership in self._history.members.items():
            reader, _, member = channel.partition("!")
            if reader == self._name:
                self._settle_member(member, membership)
        # What came for who never joined.
        for member in self._got:
            if f"{self._name}!{member}" not in self._history.members:
                self._account.not_for_them += 1

    def _settle_member(self, member: str, membership: Membership) -> None:
        has_stayed = membership.leaving == FOREVER and self._name not in self._history.killed
        self._account.members_that_stayed += has_stayed
        self._account.members_that_came_and_went += not has_stayed
        for sender, messages in self._history.messages.items():
            numbers = self._got.get(member, {}).get(sender, ())
            self._account.delivered += len(numbers)
            found = self._check_run(sender, numbers)
            found = found + self._check_bounds(sender, numbers, membership, messages)
            for name, number in found.items():
                setattr(self._account, name, getattr(self._account, name) + number)

    def _check_run(self, sender: str, numbers: Sequence[int]) -> Counter[str]:
        """Return what is wrong with a run; remembered, since those that stay share theirs."""
        found = self._checked.get(id(numbers))
        if found is None:
            found = self._checked[id(numbers)] = Counter()
            for before, number in itertools.pairwise(numbers):
                if number == before:
                    found["twice"] += 1
                elif number < before:
                    found["out_of_order"] += 1
                elif number > before + 1:
                    found += self._gap(sender, range(before + 1, number))
            self._checked[id(numbers)] = found
        return found

    def _gap(self, sender: str, numbers: range) -> Counter[str]:
        """Return what it means that a member did not get these."""
        missed = [number for number in numbers if number in self._any[sender]]
        if missed:
            self._account.examples[4:] = [f"{self._name}: {sender} {missed[0]}"]
        return Counter(missed=len(missed), lost_at_capacity=len(numbers) - len(missed))

    def _check_bounds(
        self, sender: str, numbers: Sequence[int], membership: Membership, messages: Messages
    ) -> Counter[str]:
        """Check that a run begins and ends where the membership did."""
        first = bisect.bisect_left(messages.began, membership.joined) + 1
        last = bisect.bisect_right(messages.done, membership.leaving)
        if self._name in self._history.killed:
            # It may have been in the middle of the last one.
            last = min(last, max(self._any[sender], default=0) - 1)
        if not numbers:
            return self._gap(sender, range(first, last + 1))
        earliest = bisect.bisect_right(messages.done, membership.joining) + 1
        latest = bisect.bisect_left(messages.began, membership.left)
        got_first, got_last = min(numbers), max(numbers)
        found = self._gap(sender, range(first, min(got_first, last + 1)))
        found += self._gap(sender, range(max(got_last + 1, first), last + 1))
        found["not_for_them"] = max(0, earliest - got_first) + max(0, got_last - latest)
        return found
