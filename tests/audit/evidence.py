"""Evidence for the causes of loss: order, kills, restarts, and the layer's own figures.

A queue is first in, first out. So a message was surely taken before the moment at which one that
was put later reached its receiver: that moment is called `behind`.
"""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.audit.history import FOREVER, PUT, UNAVAILABLE, UNKNOWN, History, Kill, Outage, Sent
from tests.audit.queue_roles import LOCAL

if TYPE_CHECKING:
    from tests.audit.account import Account

__all__ = ["Causes", "Missing", "agree", "find_missing", "match"]

#: Seconds past its deadline in which a message that nobody asks for is dropped and counted:
#: processes look for such every few seconds.
DROPPED_WITHIN = 12.0


class Missing:
    """A message that was put and not delivered."""

    def __init__(self, sent: Sent, behind: float) -> None:
        self.channel = sent.channel
        self.owner = sent.owner
        self.path = sent.path
        self.queue = sent.queue
        self.began = sent.began
        self.behind = behind
        self._name = f"{sent.sender} {sent.number}"

    def overlaps(self, outages: Iterable[Outage]) -> bool:
        """Whether it may have been in the backend when that was killed."""
        return any(self.began <= each.until and self.behind >= each.since for each in outages)

    def may_be_held(self, kill: Kill) -> bool:
        """Whether the killed receiver may have held it."""
        return kill.is_receiver and self.began <= kill.died and self.behind >= kill.since

    def __str__(self) -> str:
        times = f"sent at {self.began:.3f}, passed by {self.behind:.3f}"
        return f"{self._name} on {self.channel} ({self.path}): {times}"


@dataclass
class Causes:
    """The missing messages by the cause of their loss."""

    with_owner: list[Missing] = field(default_factory=list)
    with_backend: list[Missing] = field(default_factory=list)
    with_receiver: dict[str, list[Missing]] = field(default_factory=dict)  # by name
    expired: list[Missing] = field(default_factory=list)
    nothing: list[Missing] = field(default_factory=list)


def find_missing(history: History, delivered: dict[tuple[str, int], float]) -> list[Missing]:
    """Return the messages that were put and not delivered; of the rest, `delivered` says when."""
    queues: defaultdict[tuple[str, str], list[Sent]] = defaultdict(list)
    for each in history.sent.values():
        queues[each.queue].append(each)
    missing = []
    for messages in queues.values():
        messages.sort(key=_began)
        behind = _least_behind(messages, delivered)
        for each in messages:
            if each.outcome == PUT and (each.sender, each.number) not in delivered:
                # Whoever began to send after this was put is behind it.
                at = bisect.bisect_right(messages, each.done, key=_began)
                missing.append(Missing(each, behind[at]))
    return missing


def _began(sent: Sent) -> float:
    return sent.began


def _least_behind(messages: Sequence[Sent], delivered: dict[tuple[str, int], float]) -> list[float]:
    """Return for each place in `messages` when the first of those from there on was delivered."""
    behind = [FOREVER]
    for each in reversed(messages):
        taken = delivered.get((each.sender, each.number), FOREVER)
        behind.append(min(taken, behind[-1]))
    return behind[::-1]


def match(
    messages: Sequence[Missing], history: History, held: dict[str, list[Missing]]
) -> list[Missing]:
    """Assign messages to killed receivers, as many as possible; return those that are left.

    Each receiver has held `limit` messages at most, of each part of the layer.
    """
    room = history.limit * history.shards
    kills = [kill for kill in history.kills if kill.is_receiver]
    return [each for each in messages if not _place(each, kills, room, held, set())]


def _place(
    message: Missing,
    kills: Sequence[Kill],
    room: int,
    held: dict[str, list[Missing]],
    tried: set[str],
) -> bool:
    """Find a receiver that may have held a message; move others that it may have to as well."""
    for kill in kills:
        if kill.name in tried or not message.may_be_held(kill):
            continue
        tried.add(kill.name)
        mine = held.setdefault(kill.name, [])
        if len(mine) < room:
            mine.append(message)
            return True
        for other in list(mine):
            if _place(other, kills, room, held, tried):
                mine.remove(other)
                mine.append(message)
                return True
    return False


# The layer's own figures.


def agree(history: History, account: Account, found: Causes) -> None:
    """Compare the causes with what the layer has counted; complete the account with it."""
    _agree_on_put(history, account)
    _agree_on_memory(history, account, found)
    _agree_on_expired(history, account, found)
    if not history.local_first and not history.outages:
        _between(
            account,
            *("refused as full", account.counted_full, account.refused_full),
            account.refused_full + account.unknown_to_sender,
        )


def _between(account: Account, what: str, counted: int, least: int, most: int) -> None:
    if not least <= counted <= most:
        expected = f"{least}" if least == most else f"{least} to {most}"
        account.disagreements.append(f"{what}: the layer has counted {counted}, not {expected}")


def _agree_on_put(history: History, account: Account) -> None:
    """All that was put is counted, but what was put while a backend died."""
    put = [each for each in history.sent.values() if each.outcome == PUT and each.path != LOCAL]
    sure = [
        each
        for each in put
        if not any(each.began <= out.until and each.done >= out.since for out in history.outages)
    ]
    _between(
        account,
        *("put", account.counted_put, len(sure)),
        len(put) + account.refused_unavailable + account.unknown_to_sender,
    )


def _agree_on_memory(history: History, account: Account, found: Causes) -> None:
    """What went with the memory of a process was in queues of limited capacity."""
    queues = Counter(each.queue for each in found.with_owner if each.path == LOCAL)
    for (place, owner), number in queues.items():
        excess = number - history.capacity - history.limit
        if excess > 0:
            account.unaccounted += excess
            account.examples.append(f"{number} on {place} in the memory of {owner}")


def _agree_on_expired(history: History, account: Account, found: Causes) -> None:
    """What expired, or went with its owner, is counted, but what the owner held."""
    held = {name: len(messages) for name, messages in found.with_receiver.items()}
    owned = [each for each in found.with_owner if each.path != LOCAL]
    expired = [each for each in found.expired if each.path != LOCAL]
    gone = len(owned) + len(expired)
    receivers = [kill for kill in history.kills if kill.is_receiver]
    room = len(receivers) * history.limit * history.shards - sum(held.values())
    # What else may have been counted: the figures cannot tell whom it was for.
    doubtful = len(found.with_backend) + sum(
        each.behind >= each.began + history.expiry
        for messages in found.with_receiver.values()
        for each in messages
    )
    doubtful += (
        sum(each.outcome in (UNAVAILABLE, UNKNOWN) for each in history.sent.values())
        - account.delivered_after_refusal
    )
    uncounted = sum(_may_be_uncounted(each, history) for each in owned + expired)
    _between(
        account,
        *("expired", account.counted_expired, gone - min(room, len(owned)) - uncounted),
        gone + doubtful,
    )
    in_hands = 0 if history.outages else max(0, min(len(owned), gone - account.counted_expired))
    account.expired = len(found.expired)
    account.lost_with_owner = len(found.with_owner) - in_hands
    account.lost_with_receiver = sum(held.values()) + in_hands
    account.most_lost_with_one_receiver = max(held.values(), default=0)


def _may_be_uncounted(each: Missing, history: History) -> bool:
    """Whether the backend may have been killed after it had counted a message as expired."""
    end = each.began + history.expiry + DROPPED_WITHIN
    return any(each.began <= out.until and end >= out.since for out in history.outages)
