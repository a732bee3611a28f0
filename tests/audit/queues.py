"""The audit of queues: run senders and receivers, kill some, restart the backend, settle."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.audit.account import Account, settle
from tests.audit.backend import Backend, open_audited, open_shared
from tests.audit.children import Child, Children, Stop
from tests.audit.history import History, Kill, Outage, read_history
from tests.audit.logs import read_published
from tests.audit.plan import Plan
from tests.audit.queue_roles import END_OF_SENDING, receive, send
from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.layers.base import BaseLayer
from wsgi_bridge.layers.statistics import Statistics

__all__ = ["audit_queues"]

SENDER = "tests.audit.queue_roles:sender"
RECEIVER = "tests.audit.queue_roles:receiver"
NODE = "tests.audit.queue_roles:node"

#: Seconds within which processes have started, and what waits has been received or has expired.
PATIENCE = 30.0

#: Seconds between two looks of the audit.
TICK = 0.02

#: Seconds that a killed backend stays away, at most.
LONGEST_OUTAGE = 0.5


def audit_queues(plan: Plan, backend: Backend) -> Account:
    """Run the audit that `plan` describes, and return its account."""
    history = History(
        expiry=plan.expiry,
        limit=plan.limit,
        capacity=plan.capacity,
        shards=max(1, len(backend.servers)),
        local_first=plan.local_first,
    )
    if plan.scheme == "memory":
        _run_threads(plan, history)
    else:
        _Run(plan, backend, history).run()
    read_history(plan.folder, history)
    return settle(history)


class _Run:
    """One run with processes; `history` gets kills, outages and the layer's figures."""

    def __init__(self, plan: Plan, backend: Backend, history: History) -> None:
        self._plan = plan
        self._backend = backend
        self._history = history
        self._chance = random.Random(plan.seed)
        self._layer = open_shared(plan)

    def run(self) -> None:
        plan = self._plan
        try:
            with Children(plan) as children:
                self._start(children)
                self._disturb(children, time.monotonic() + plan.seconds)
                self._end_sending(children)
                children.end()
                self._count(_figures(self._layer))
        finally:
            self._layer.close()

    def _start(self, children: Children) -> None:
        plan = self._plan
        role, letter = (NODE, "n") if plan.local_first else (RECEIVER, "r")
        for number in range(plan.receivers):
            children.start(role, f"{letter}{number}")
        until(lambda: len(read_published(plan.folder)) == plan.receivers, "receivers have started")
        for number in range(0 if plan.local_first else plan.senders):
            children.start(SENDER, f"s{number}")

    def _disturb(self, children: Children, end: float) -> None:
        plan = self._plan
        kill_at = self._due(plan.kill_every)
        restart_at = self._due(plan.restart_every)
        while (now := time.monotonic()) < end or self._has_more_to_see(end):
            running = children.running()
            if now >= kill_at:
                self._kill(children, running)
                kill_at = self._due(plan.kill_every)
            if now >= restart_at:
                self._restart()
                restart_at = self._due(plan.restart_every)
            time.sleep(TICK)

    def _has_more_to_see(self, end: float) -> bool:
        """Whether something has not happened yet that was asked for; at most for PATIENCE."""
        plan, history = self._plan, self._history
        is_missing = (
            (plan.kill_every and not history.kills)
            or (plan.restart_every and not history.outages)
            or history.counted.put + _figures(self._layer)["messages_count"] < plan.messages
        )
        return bool(is_missing) and time.monotonic() < end + PATIENCE

    def _due(self, interval: float) -> float:
        if not interval:
            return float("inf")
        return time.monotonic() + interval * self._chance.uniform(0.5, 1.5)

    def _kill(self, children: Children, running: list[Child]) -> None:
        """Kill a process, and start another one in its place."""
        if not self._plan.kill_senders:
            running = [child for child in running if child.role != SENDER]
        child = self._chance.choice(running)
        died = children.kill(child)
        self._history.kills.append(
            Kill(child.name, child.started, died, is_receiver=child.role != SENDER)
        )
        children.start(child.role, child.slot, child.life + 1)

    def _restart(self) -> None:
        """Kill the backend, whose figures go with it, and start it again."""
        since = time.monotonic()
        self._count(_figures(self._layer))
        self._backend.kill()
        time.sleep(self._chance.random() * LONGEST_OUTAGE)
        self._backend.revive()
        self._history.outages.append(Outage(since, time.monotonic()))

    def _end_sending(self, children: Children) -> None:
        """Have no more sent, and wait until nothing waits."""
        if self._plan.local_first:
            with open(os.path.join(self._plan.folder, END_OF_SENDING), "w"):
                pass
        else:
            children.end(SENDER)
        until(
            lambda: _figures(self._layer)["messages_pending"] == 0,
            "everything was received, or has expired",
        )

    def _count(self, figures: Statistics) -> None:
        counted = self._history.counted
        counted.put += figures["messages_count"]
        counted.full += figures["channel_full_count"]
        counted.expired += figures["messages_expired_count"]


def _figures(layer: BaseLayer) -> Statistics:
    """Return the layer's statistics, as soon as it can be reached."""
    found: list[Statistics] = []

    def ask() -> bool:
        try:
            found.append(layer.global_statistics())
        except ChannelLayerUnavailable:
            return False
        return True

    until(ask, "the layer answers")
    return found[0]


def until(condition: Callable[[], Any], what: str) -> None:
    """Wait for a condition."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {PATIENCE} s: {what}")
        time.sleep(TICK)


def _run_threads(plan: Plan, history: History) -> None:
    """Run senders and receivers as threads of this process, on one layer."""
    layer, crossings = open_audited(plan)
    receivers = _Threads()
    for number in range(plan.receivers):
        receivers.start(receive, plan, f"r{number}.0", receivers.stop, layer)
    until(lambda: len(read_published(plan.folder)) == plan.receivers, "receivers have started")
    senders = _Threads()
    for number in range(plan.senders):
        senders.start(send, plan, f"s{number}.0", senders.stop, layer, crossings)
    time.sleep(plan.seconds)
    until(lambda: layer.global_statistics()["messages_count"] >= plan.messages, "all are sent")
    senders.end()
    until(lambda: layer.global_statistics()["messages_pending"] == 0, "nothing waits")
    receivers.end()
    figures = layer.global_statistics()
    layer.close()
    history.counted.put = figures["messages_count"]
    history.counted.full = figures["channel_full_count"]
    history.counted.expired = figures["messages_expired_count"]


class _Threads:
    """Threads that end together."""

    def __init__(self) -> None:
        self.stop = Stop()
        self._threads: list[threading.Thread] = []

    def start(self, function: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)

    def end(self) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)
