"""The account of sockets: for every frame, where it was handled, or the kill that it was lost at.

Pure: a SocketHistory in, a SocketAccount out.

- A frame is begun once, and none before the one before it has ended.
- A frame that nobody has begun was in flight when a process was killed. There is one in flight for
  each socket, so that each missing one needs a kill of its own between its neighbours; and a
  process has no more in flight than it has threads.
- The server has counted as unacknowledged what its client had no answer to, and nothing else: an
  acknowledgement rides on the answer.
- No socket was closed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from itertools import pairwise

from tests.audit.logs import read_lines
from tests.audit.socket_clients import Socket

__all__ = ["Handled", "SocketAccount", "SocketHistory", "read_socket_history", "settle_sockets"]

FOREVER = float("inf")


@dataclass
class Handled:
    """A run of the consumer; `ended` is None if its process was killed before it answered."""

    number: int
    begun: float
    ended: float | None
    version: str = "0"


@dataclass
class SocketHistory:
    """What was seen. Times are of the monotonic clock."""

    #: Seconds after which a server gives up a frame that nobody speaks of.
    expiry: float = 60.0
    #: Threads of a process.
    threads: int = 1
    sockets: list[Socket] = field(default_factory=list)
    #: By socket, in the order of their begin.
    handled: dict[int, list[Handled]] = field(default_factory=dict)
    #: When it was begun, and when the process had surely gone.
    kills: list[tuple[float, float]] = field(default_factory=list)
    deployments: int = 0
    counted_unacknowledged: int = 0


@dataclass
class SocketAccount:
    """The figures of an audit of sockets; see `is_balanced`."""

    sockets: int = 0
    frames: int = 0
    handled: int = 0
    answered: int = 0
    kills: int = 0
    deployments: int = 0
    versions_at_work: int = 0
    missing_at_a_kill: int = 0
    handled_without_answer: int = 0
    counted_unacknowledged: int = 0
    longest_gap: float = 0.0  # seconds between two frames of one socket
    waited_for_expiry: int = 0  # sockets' frames whose loss nobody told the server
    # These must be 0.
    unaccounted: int = 0
    twice: int = 0
    out_of_order: int = 0
    at_once: int = 0
    never_sent: int = 0
    sockets_closed: int = 0
    sockets_stuck: int = 0
    disagreements: list[str] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)

    @property
    def is_balanced(self) -> bool:
        """Whether every frame is accounted for, and every socket open."""
        wrong = (self.unaccounted, self.twice, self.out_of_order, self.at_once, self.never_sent)
        return not any((*wrong, self.sockets_closed, self.sockets_stuck, self.disagreements))

    def dump(self) -> dict[str, object]:
        """Return it as plain data."""
        return {**asdict(self), "is_balanced": self.is_balanced}


def read_socket_history(folder: str, history: SocketHistory) -> None:
    """Add what processes have written down."""
    handled: defaultdict[int, list[Handled]] = defaultdict(list)
    for name, lines in read_lines(folder, "handled"):
        version = name.partition("-")[0]
        under_way: defaultdict[tuple[str, str], list[Handled]] = defaultdict(list)
        for line in lines:
            kind, time, socket, number = line.split()
            if kind == "e":
                under_way[socket, number].pop().ended = float(time)
                continue
            begun = Handled(int(number), float(time), None, version)
            under_way[socket, number].append(begun)
            handled[int(socket)].append(begun)
    for runs in handled.values():
        runs.sort(key=lambda run: run.begun)
    history.handled = dict(handled)
    for _, lines in read_lines(folder, "counters"):
        history.counted_unacknowledged += json.loads(lines[0])["unacknowledged_count"]


def settle_sockets(history: SocketHistory) -> SocketAccount:
    """Return the account of a history."""
    account = SocketAccount(
        sockets=len(history.sockets),
        frames=sum(each.sent for each in history.sockets),
        answered=sum(len(each.answers) for each in history.sockets),
        kills=len(history.kills),
        deployments=history.deployments,
        counted_unacknowledged=history.counted_unacknowledged,
    )
    runs = [run for each in history.handled.values() for run in each]
    account.versions_at_work = len({run.version for run in runs})
    for socket in history.sockets:
        _settle_socket(socket, history, account)
    _agree(history, account)
    return account


def _settle_socket(socket: Socket, history: SocketHistory, account: SocketAccount) -> None:
    runs = history.handled.get(socket.name, [])
    account.sockets_closed += bool(socket.closed)
    account.sockets_stuck += not socket.closed and not socket.is_settled
    account.never_sent += sum(not 1 <= run.number <= socket.sent for run in runs)
    account.handled += len({run.number for run in runs})
    account.handled_without_answer += len({run.number for run in runs} - set(socket.answers))
    answers = socket.answers
    account.twice += len(answers) - len(set(answers))
    account.out_of_order += sum(b < a for a, b in pairwise(answers))
    seen = 0
    before = 0.0
    for run in runs:
        account.twice += run.number == seen
        account.out_of_order += run.number < seen
        if before:
            account.longest_gap = max(account.longest_gap, run.begun - before)
            account.waited_for_expiry += run.begun - before >= history.expiry
        _explain(socket, range(seen + 1, run.number), before, run.begun, history, account)
        seen, before = max(seen, run.number), run.begun
    _explain(socket, range(seen + 1, socket.sent + 1), before, FOREVER, history, account)
    for first, second in pairwise(runs):
        account.at_once += _overlap(first, second, history.kills)


def _overlap(first: Handled, second: Handled, kills: list[tuple[float, float]]) -> bool:
    """Whether a frame was begun while the one before it was still at work."""
    if first.ended is not None:
        return first.ended > second.begun
    return not any(begun <= second.begun and first.begun <= gone for begun, gone in kills)


def _explain(
    socket: Socket,
    numbers: range,
    since: float,
    until: float,
    history: SocketHistory,
    account: SocketAccount,
) -> None:
    """Find a kill for each frame that is missing between two that were handled."""
    if not numbers:
        return
    kills = sum(begun <= until and gone >= since for begun, gone in history.kills)
    found = min(len(numbers), kills)
    account.missing_at_a_kill += found
    account.unaccounted += len(numbers) - found
    if found < len(numbers) and len(account.examples) < 5:
        account.examples.append(f"{numbers} of socket {socket.name}, {kills} kills meanwhile")


def _agree(history: SocketHistory, account: SocketAccount) -> None:
    """Compare with the server's own figures, and with what may be in flight."""
    lost = account.frames - account.answered
    counted = account.counted_unacknowledged
    if lost != counted:
        account.disagreements.append(f"without an answer: {lost}, the server has counted {counted}")
    most = history.threads * account.kills
    if account.missing_at_a_kill > most:
        account.disagreements.append(
            f"missing at a kill: {account.missing_at_a_kill}, in flight were {most} at the most"
        )
