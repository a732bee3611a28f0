"""The account: for every message that was sent, one delivery or the cause of its loss.

Pure: a History in, an Account out. Nothing is lost for want of another explanation; each cause has
its evidence, and what has none is unaccounted:

- *with its owner*: it waited in a channel (or the memory) of a process that was killed, and nothing
  that was sent there later was delivered.
- *with a receiver*: a receiver of its channel was killed while it may have held it. It had taken
  it after it had asked for its last batch; and no message that was sent there later was delivered
  before that. No more than its limit for each kill.
- *with the backend*: Redis was killed while the message was there; the same evidence.
- *expired*: it had waited for `expiry` seconds before anything behind it was delivered.

The layer's statistics must agree: all that was put was counted, and so many have expired (with the
owner counts as expired) as these causes leave. A message that was sent while its sender was killed,
or for which ChannelLayerUnavailable was raised, may have been put or not.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field

from tests.audit.evidence import Causes, Missing, agree, find_missing, match
from tests.audit.history import FOREVER, FULL, PUT, UNAVAILABLE, UNKNOWN, History
from tests.audit.queue_roles import LOCAL, LONELY

__all__ = ["Account", "settle"]


@dataclass
class Account:
    """The figures of an audit of queues; see `is_balanced`."""

    attempts: int = 0
    refused_full: int = 0
    refused_unavailable: int = 0
    unknown_to_sender: int = 0
    sent: int = 0
    delivered: int = 0
    delivered_after_refusal: int = 0
    expired: int = 0
    lost_with_owner: int = 0
    lost_with_receiver: int = 0
    lost_with_backend: int = 0
    counted_put: int = 0
    counted_full: int = 0
    counted_expired: int = 0
    kills: int = 0
    most_lost_with_one_receiver: int = 0
    outages: int = 0
    # These must be 0.
    unaccounted: int = 0
    twice: int = 0
    out_of_order: int = 0
    never_sent: int = 0
    refused_yet_delivered: int = 0
    late: int = 0
    disagreements: list[str] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)

    @property
    def is_balanced(self) -> bool:
        """Whether every message is accounted for."""
        wrong = (self.unaccounted, self.twice, self.out_of_order, self.never_sent)
        return not any((*wrong, self.refused_yet_delivered, self.late, self.disagreements))

    def dump(self) -> dict[str, object]:
        """Return it as plain data."""
        return {**asdict(self), "is_balanced": self.is_balanced}


def settle(history: History) -> Account:
    """Return the account of a history."""
    account = Account(kills=len(history.kills), outages=len(history.outages))
    _count_sends(history, account)
    delivered = _count_deliveries(history, account)
    _check_order(history, account)
    _explain(history, account, delivered)
    return account


def _count_sends(history: History, account: Account) -> None:
    outcomes = Counter(each.outcome for each in history.sent.values())
    account.attempts = len(history.sent)
    account.sent = outcomes[PUT]
    account.refused_full = outcomes[FULL]
    account.refused_unavailable = outcomes[UNAVAILABLE]
    account.unknown_to_sender = outcomes[UNKNOWN]
    account.counted_put = history.counted.put
    account.counted_full = history.counted.full
    account.counted_expired = history.counted.expired


def _count_deliveries(history: History, account: Account) -> dict[tuple[str, int], float]:
    """Check every delivery by itself; return the times at which messages were delivered."""
    delivered: dict[tuple[str, int], float] = {}
    for each in history.deliveries:
        key = (each.sender, each.number)
        sent = history.sent.get(key)
        if sent is None or sent.channel != each.channel:
            account.never_sent += 1
            continue
        if key in delivered:
            account.twice += 1
            continue
        delivered[key] = each.taken
        account.delivered += sent.outcome == PUT
        account.delivered_after_refusal += sent.outcome in (UNAVAILABLE, UNKNOWN)
        account.refused_yet_delivered += sent.outcome == FULL
        account.late += each.began > sent.done + history.expiry
    return delivered


def _check_order(history: History, account: Account) -> None:
    """Count what a receiver got before something that the same sender had sent earlier."""
    last: dict[tuple[str, str], int] = {}
    for each in history.deliveries:
        if "!" not in each.channel and "?" not in each.channel:
            continue
        key = (each.channel, each.sender)
        account.out_of_order += each.number < last.get(key, 0)
        last[key] = max(each.number, last.get(key, 0))


# The missing ones.


def _explain(history: History, account: Account, delivered: dict[tuple[str, int], float]) -> None:
    found = Causes()
    deaths = {kill.name for kill in history.kills}
    unclear = []
    for each in find_missing(history, delivered):
        if each.owner in deaths and each.behind == FOREVER:
            found.with_owner.append(each)
        elif each.path != LOCAL and each.overlaps(history.outages):
            found.with_backend.append(each)
        elif each.owner or each.channel == LONELY:
            _expired_or_not(found, each, history)
        else:
            unclear.append(each)
    for each in match(unclear, history, found.with_receiver):
        _expired_or_not(found, each, history)
    account.lost_with_backend = len(found.with_backend)
    account.unaccounted = len(found.nothing)
    account.examples = [str(each) for each in found.nothing[:5]]
    agree(history, account, found)


def _expired_or_not(found: Causes, each: Missing, history: History) -> None:
    has_expired = each.behind >= each.began + history.expiry
    (found.expired if has_expired else found.nothing).append(each)
