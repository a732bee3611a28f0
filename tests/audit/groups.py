"""The audit of groups: members that stay, others that come and go, and holders that are killed."""

from __future__ import annotations

import random
import time

from tests.audit.backend import Backend, open_shared
from tests.audit.children import Children
from tests.audit.group_account import (
    GroupAccount,
    GroupHistory,
    read_group_history,
    settle_groups,
)
from tests.audit.group_roles import CAPACITY, GROUP
from tests.audit.logs import read_published
from tests.audit.plan import Plan
from tests.audit.queues import PATIENCE, TICK, until
from wsgi_bridge.layers.base import BaseLayer

__all__ = ["audit_groups"]

HOLDER = "tests.audit.group_roles:holder"
CHURNER = "tests.audit.group_roles:churner"
SENDER = "tests.audit.group_roles:group_sender"

#: Seconds within which the members of a killed process are gone, beyond `Plan.life`: a second or
#: two are promised, and the machine may be busy.
VANISH_WITHIN = 5.0


def audit_groups(plan: Plan, backend: Backend) -> GroupAccount:
    """Run the audit that `plan` describes, and return its account."""
    history = GroupHistory()
    layer = open_shared(plan, capacity=CAPACITY)
    chance = random.Random(plan.seed)
    try:
        with Children(plan) as children:
            for number in range(plan.receivers):
                children.start(HOLDER, f"h{number}")
            until(lambda: len(read_published(plan.folder)) == plan.receivers, "all have joined")
            children.start(CHURNER, "c0")
            for number in range(plan.senders):
                children.start(SENDER, f"s{number}")
            _wait(plan, children, history, chance, layer)
            children.end(SENDER)
            children.end(CHURNER)
            # What waits for a holder that was killed is not of interest: it may take a minute.
            for child in children.running(HOLDER):
                _await_silence(layer, child.name)
            history.counted_lost = layer.global_statistics()["group_messages_lost_count"]
            children.end()
    finally:
        layer.close()
    read_group_history(plan.folder, history)
    return settle_groups(history, plan.life + VANISH_WITHIN)


def _await_silence(layer: BaseLayer, name: str) -> None:
    until(
        lambda: layer.channel_statistics(f"{name}!")["messages_pending"] == 0,
        f"nothing waits for {name}",
    )


def _wait(
    plan: Plan, children: Children, history: GroupHistory, chance: random.Random, layer: BaseLayer
) -> None:
    """Let it run, and kill a holder now and then."""
    end = time.monotonic() + plan.seconds
    interval = plan.kill_every or float("inf")
    kill_at = time.monotonic() + interval
    while time.monotonic() < end or _has_more_to_see(plan, history, layer, end):
        children.running()
        if time.monotonic() >= kill_at:
            child = chance.choice(children.running(HOLDER))
            history.killed[child.name] = died = children.kill(child)
            _await_vanishing(layer, child.name)
            history.vanished.append(time.monotonic() - died)
            children.start(HOLDER, child.slot, child.life + 1)
            kill_at = time.monotonic() + interval * chance.uniform(0.5, 1.5)
        time.sleep(TICK)


def _has_more_to_see(plan: Plan, history: GroupHistory, layer: BaseLayer, end: float) -> bool:
    is_missing = (plan.kill_every and not history.killed) or (
        layer.global_statistics()["messages_count"] < plan.messages * plan.receivers
    )
    return bool(is_missing) and time.monotonic() < end + PATIENCE


def _await_vanishing(layer: BaseLayer, name: str) -> None:
    """Wait until the members that stayed have gone; the churner may still add others."""
    until(
        lambda: not any(each.startswith(f"{name}!m") for each in layer.group_channels(GROUP)),
        f"the members of {name} are gone",
    )
