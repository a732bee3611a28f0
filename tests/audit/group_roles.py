"""The processes of the groups audit: holders of members, a churner, senders.

NAME.members says who began to join and leave, and when that was done:

    a TIME MEMBER / A TIME MEMBER / d TIME MEMBER / D TIME MEMBER

NAME.sent has `> TIME NUMBER` and `+ TIME NUMBER` for each group message. NAME.got has, in one write
for each batch, what the members of a holder got, each of them or all that stay (`*`):

    TAKEN SENDER NUMBER MEMBER,MEMBER...
"""

from __future__ import annotations

import itertools
import random
import time
from collections import deque

from tests.audit.backend import open_audited
from tests.audit.children import Stop
from tests.audit.logs import Log, publish, read_published
from tests.audit.plan import Plan
from wsgi_bridge.layers.base import BaseLayer, Batch

__all__ = ["GROUP", "churner", "group_sender", "holder"]

GROUP = "audit.group"

#: Messages that wait for a holder at most: more than are sent in its worst pause, so that none is
#: lost there; those that are are counted.
CAPACITY = 2000

#: Messages that a holder takes at once. Not a divisor of the number of its members.
LIMIT = 97

#: Seconds that a receive waits, and seconds between two changes by the churner.
WAIT = 0.2
CHURN = 0.005

#: Members that the churner has in the group at a time.
COMING_AND_GOING = 20


def holder(plan: Plan, name: str, stop: Stop) -> None:
    """Own members, and write down what they get; every other holder asks for each one's copy."""
    layer, _ = open_audited(plan, capacity=CAPACITY)
    got = Log(plan.folder, "got", name)
    slot = name.partition(".")[0]
    is_compact = int(slot[1:]) % 2 == 0
    reader = f"{name}!"
    stay = {f"m{number}" for number in range(plan.members // plan.receivers)}
    with layer.listen([reader], lambda: None):
        _join(layer, Log(plan.folder, "members", name), reader, stay)
        publish(plan.folder, slot, reader)
        while True:
            batch = layer.receive_many([reader], LIMIT, WAIT, compact=is_compact)
            if batch:
                got.write(*_lines(batch, stay))
            elif stop.is_set():
                break
    layer.close()


def _join(layer: BaseLayer, log: Log, reader: str, members: set[str]) -> None:
    for member in sorted(members):
        began = time.monotonic()
        layer.group_add(GROUP, reader + member)
        log.write(f"a {began:.6f} {reader}{member}", f"A {time.monotonic():.6f} {reader}{member}")


def _lines(batch: Batch, stay: set[str]) -> list[str]:
    """Return the lines of a batch: one for each message, or part of one, that is in it."""
    taken = time.monotonic()
    lines = []
    for (sender, number), items in itertools.groupby(batch, _identity):
        names = [name for names, _ in items for name in _members(names)]
        if stay <= set(names) and len(set(names)) == len(names):
            names = ["*", *(name for name in names if name not in stay)]
        lines.append(f"{taken:.6f} {sender} {number} {','.join(names)}")
    return lines


def _identity(item: tuple[object, dict[str, object]]) -> tuple[object, object]:
    return item[1]["sender"], item[1]["number"]


def _members(names: str | tuple[str, ...]) -> list[str]:
    each = (names,) if isinstance(names, str) else names
    return [name.partition("!")[2] for name in each]


def group_sender(plan: Plan, name: str, stop: Stop) -> None:
    """Send numbered messages to the group, at the rate of the plan."""
    layer, _ = open_audited(plan, capacity=CAPACITY)
    log = Log(plan.folder, "sent", name)
    began = time.monotonic()
    for number in itertools.count(1):
        if stop.is_set():
            break
        log.write(f"> {time.monotonic():.6f} {number}")
        layer.send_group(GROUP, {"sender": name, "number": number})
        log.write(f"+ {time.monotonic():.6f} {number}")
        # From the beginning on, so that the rate holds; after a pause of ours it is not made up.
        began = max(began, time.monotonic() - 1.0 - number / plan.rate)
        time.sleep(max(0.0, began + number / plan.rate - time.monotonic()))
    layer.close()


def churner(plan: Plan, name: str, stop: Stop) -> None:
    """Have members join and leave all the time, on the readers of all holders."""
    layer, _ = open_audited(plan, capacity=CAPACITY)
    log = Log(plan.folder, "members", name)
    chance = random.Random(f"{plan.seed} {name}")
    members: deque[str] = deque()
    for number in itertools.count():
        if stop.is_set():
            break
        member = f"{chance.choice(read_published(plan.folder))}t{number}"
        log.write(f"a {time.monotonic():.6f} {member}")
        layer.group_add(GROUP, member)
        log.write(f"A {time.monotonic():.6f} {member}")
        members.append(member)
        if len(members) > COMING_AND_GOING:
            members.rotate(-chance.randrange(COMING_AND_GOING))
            leaving = members.popleft()
            log.write(f"d {time.monotonic():.6f} {leaving}")
            layer.group_discard(GROUP, leaving)
            log.write(f"D {time.monotonic():.6f} {leaving}")
        time.sleep(CHURN)
    layer.close()
