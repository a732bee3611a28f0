"""What is in a store, for who looks at it from outside: every channel, every group, every process.

The looks are read transactions, which nobody waits for. What has expired is dropped first, as for
statistics, in write transactions of a bounded size.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from wsgi_bridge.layers.ipc.figures import BATCH, add_figures, all_records, drop_expired
from wsgi_bridge.layers.ipc.membership import Memberships
from wsgi_bridge.layers.ipc.queues import Queues
from wsgi_bridge.layers.ipc.session import Session
from wsgi_bridge.layers.ipc.store import Store, Txn
from wsgi_bridge.layers.statistics import GroupStatistics, Statistics, no_statistics

__all__ = ["find_processes", "statistics_by_channel", "statistics_by_group"]


def statistics_by_channel(
    store: Store, queues: Queues, now: float, expiry: float
) -> dict[str, Statistics]:
    """Return the figures of every channel with messages or a count, by its reader."""
    drop_expired(store, queues, now)
    return store.read(partial(_list_channels, now=now, expiry=expiry))


def _list_channels(txn: Txn, now: float, expiry: float) -> dict[str, Statistics]:
    session = Session(txn, now)
    found = {}
    for record in all_records(session):
        figures = no_statistics()
        add_figures(figures, session, record, expiry)
        if any(figures.values()):
            found[record.name] = figures
    return found


def statistics_by_group(
    store: Store, queues: Queues, memberships: Memberships, now: float
) -> dict[str, GroupStatistics]:
    """Return the size of every group, after those have left whose time has passed."""
    drop_expired(store, queues, now)
    due = store.read(partial(_find_due, memberships=memberships, now=now))
    for start in range(0, len(due), BATCH):
        groups = due[start : start + BATCH]
        store.write(partial(_expire, memberships=memberships, now=now, groups=groups))
    return store.read(partial(_list_groups, memberships=memberships, now=now))


def _find_due(txn: Txn, memberships: Memberships, now: float) -> list[str]:
    counts = memberships.counts(Session(txn, now))
    return sorted({group for group, _, _, earliest in counts if earliest <= now})


def _expire(txn: Txn, memberships: Memberships, now: float, groups: Iterable[str]) -> None:
    session = Session(txn, now)
    for group in groups:
        memberships.readers(session, group)
    session.save()


def _list_groups(txn: Txn, memberships: Memberships, now: float) -> dict[str, GroupStatistics]:
    found: dict[str, GroupStatistics] = {}
    for group, _, count, _ in memberships.counts(Session(txn, now)):
        figures = found.setdefault(group, {"members_count": 0, "readers_count": 0})
        figures["members_count"] += count
        figures["readers_count"] += 1
    return found


def find_processes(txn: Txn) -> dict[int, int]:
    """Return the places that are written down as taken, each with the id of its process."""
    pairs = Session(txn, 0.0).scan(b"p")
    return {int.from_bytes(place, "big"): int(pid) for place, pid in pairs}
