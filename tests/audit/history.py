"""What happened in a run of the queues audit: read from the logs, in plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.audit.logs import read_lines
from tests.audit.queue_roles import LOCAL, SHARED

__all__ = [
    *("FOREVER", "FULL", "PUT", "UNAVAILABLE", "UNKNOWN"),
    *("Counted", "Delivery", "History", "Kill", "Outage", "Sent", "read_history"),
]

FOREVER = float("inf")

#: Outcomes of a send.
PUT, FULL, UNAVAILABLE, UNKNOWN = "+", "F", "U", ""


@dataclass
class Sent:
    """A message that somebody began to send."""

    sender: str
    number: int
    channel: str
    began: float
    outcome: str = UNKNOWN
    done: float = FOREVER
    path: str = SHARED

    @property
    def owner(self) -> str:
        """The process whose channel or memory it waited in; "" for what all share."""
        if self.path == LOCAL:
            return self.sender
        if "!" in self.channel or "?" in self.channel:
            return self.channel.partition("!")[0].partition("?")[0]
        return ""

    @property
    def queue(self) -> tuple[str, str]:
        """What it waited in: messages leave it in the order in which they came."""
        return (self.channel.partition("!")[0], self.sender if self.path == LOCAL else "")


@dataclass
class Delivery:
    """A message in the log of a receiver: between `began` and `taken` it was taken."""

    sender: str
    number: int
    channel: str
    receiver: str
    began: float
    taken: float


@dataclass
class Kill:
    """The end of a process. What it held it had taken after `since` and before `died`."""

    name: str
    since: float
    died: float
    is_receiver: bool = True


@dataclass
class Outage:
    """A backend that was killed after `since`, when its figures were read, and back by `until`."""

    since: float
    until: float


@dataclass
class Counted:
    """The layer's own figures, over all lives of its backend; exact if there was only one."""

    put: int = 0
    full: int = 0
    expired: int = 0


@dataclass
class History:
    """Everything the account is made of."""

    expiry: float
    limit: int
    #: How many messages a local queue holds at most.
    capacity: int = 100
    #: Parts of the layer from each of which a receiver may hold `limit` messages.
    shards: int = 1
    local_first: bool = False
    sent: dict[tuple[str, int], Sent] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    counted: Counted = field(default_factory=Counted)


def read_history(folder: str, history: History) -> None:
    """Add what the logs in `folder` say; and to each kill, since when its process held anything."""
    for name, lines in read_lines(folder, "sent"):
        _read_sent(history, name, lines)
    # Local first asks the shared layer for a part of a batch at a time, so that what was fetched
    # for it may wait there for some receives; each takes one message at least.
    depth = history.limit + 1 if history.local_first else 1
    last: dict[str, float] = {}
    for name, lines in read_lines(folder, "received"):
        began = _read_received(history, name, lines)
        if began:
            last[name] = began[-depth:][0]
    for kill in history.kills:
        kill.since = last.get(kill.name, kill.since)


def _read_sent(history: History, sender: str, lines: list[str]) -> None:
    for line in lines:
        kind, time, number, *rest = line.split(" ")
        key = (sender, int(number))
        if kind == ">":
            history.sent[key] = Sent(*key, rest[0], float(time))
            continue
        found = history.sent[key]
        found.outcome, found.done = kind, float(time)
        if rest:
            found.path = rest[0]


def _read_received(history: History, receiver: str, lines: list[str]) -> list[float]:
    """Add deliveries; return when the receives began that came to their end."""
    began = taken = 0.0
    all_began = []
    for line in lines:
        first, second, third = line.split(" ")
        if first == "B":
            began, taken = float(second), float(third)
            all_began.append(began)
        else:
            delivery = Delivery(second, int(third), first, receiver, began, taken)
            history.deliveries.append(delivery)
    return all_began
