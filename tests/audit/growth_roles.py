"""The two processes of the growth audit: one asks, as a server does, the other answers.

They use everything that leaves something behind: requests and answers, uploads on channels of their
own, messages that nobody receives, memberships that come and go, group messages.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any

from tests.audit.backend import open_audited
from tests.audit.children import Stop
from tests.audit.logs import publish
from tests.audit.plan import Plan
from wsgi_bridge.layers.base import BaseLayer

__all__ = ["CAPACITY", "answerer", "asker"]

REQUESTS = "audit.request"
GROUP = "audit.growth"

#: Requests under way, and messages of one receive.
IN_FLIGHT = 256
LIMIT = 128
CAPACITY = 2000

#: One request in so many has an upload, is followed by a message that nobody receives, by a change
#: of memberships, by a group message.
UPLOAD_EVERY = 20
FORGOTTEN_EVERY = 100
CHURN_EVERY = 50
GROUP_EVERY = 50

#: Seconds that a receive waits.
WAIT = 1.0

#: Messages between two reports of the progress.
REPORT_EVERY = 2000

#: Members that there are at a time.
MEMBERS = 50

REQUEST = {
    "method": "GET",
    "path": "/articles/2017/03/some-title/",
    "headers": [[b"host", b"www.example.com"], [b"cookie", b"sessionid=0123456789abcdef"]],
}
CHUNKS = [{"content": b"x" * 1000, "more_content": True}, {"content": b"", "more_content": False}]
ANSWER = {"status": 200, "headers": [], "content": b"x" * 200}


class _Counting:
    """Sends what was collected, and reports how much it was."""

    def __init__(self, plan: Plan, slot: str, layer: BaseLayer) -> None:
        self._plan = plan
        self._slot = slot
        self._layer = layer
        self._collected: list[tuple[str, dict[str, Any]]] = []
        self._report_at = REPORT_EVERY
        self.sent = 0

    def add(self, channel: str, message: dict[str, Any]) -> None:
        """Have a message sent with the next ones."""
        self._collected.append((channel, message))

    def flush(self) -> None:
        """Send them: in one round trip, where the layer can."""
        messages, self._collected = self._collected, []
        send_many = getattr(self._layer, "send_many", None)
        if send_many is not None:
            errors = [error for error in send_many(messages) if error is not None]
            if errors:
                raise errors[0]
        else:
            for channel, message in messages:
                self._layer.send(channel, message)
        self.count(len(messages))

    def count(self, number: int) -> None:
        """Add to the number of messages sent."""
        self.sent += number
        if self.sent >= self._report_at:
            self._report_at = self.sent + REPORT_EVERY
            publish(self._plan.folder, self._slot, str(self.sent))


def asker(plan: Plan, name: str, stop: Stop) -> None:
    """Ask until told to stop."""
    layer, _ = open_audited(plan, capacity=CAPACITY)
    reader = f"{name}!"
    sending = _Counting(plan, name.partition(".")[0], layer)
    members: deque[str] = deque()
    under_way: set[str] = set()
    number = 0
    with layer.listen([reader], lambda: None):
        while not stop.is_set():
            for _ in range(IN_FLIGHT - len(under_way)):
                number += 1
                under_way.add(f"{reader}{number}")
                _ask(layer, sending, f"{reader}{number}", number)
                _maybe_change_members(layer, members, reader, number)
            sending.flush()
            batch = layer.receive_many([reader], LIMIT, WAIT, compact=True)
            under_way.difference_update(name for name, _ in batch if isinstance(name, str))
            if not batch:
                under_way.clear()  # the machine was so busy that they have expired
    layer.close()


def _ask(layer: BaseLayer, sending: _Counting, reply_channel: str, number: int) -> None:
    request = {**REQUEST, "reply_channel": reply_channel}
    if number % UPLOAD_EVERY == 0:
        body = request["body_channel"] = layer.new_channel("audit.body?")
        for chunk in CHUNKS:
            sending.add(body, chunk)
    if number % FORGOTTEN_EVERY == 0:
        sending.add(layer.new_channel("audit.forgotten?"), {})
    sending.add(REQUESTS, request)


def _maybe_change_members(layer: BaseLayer, members: deque[str], reader: str, number: int) -> None:
    if number % CHURN_EVERY:
        return
    members.append(f"{reader}m{number}")
    layer.group_add(GROUP, members[-1])
    if len(members) > MEMBERS:
        layer.group_discard(GROUP, members.popleft())
        layer.forget_channel(members.popleft())


def answerer(plan: Plan, name: str, stop: Stop) -> None:
    """Answer until told to stop."""
    layer, _ = open_audited(plan, capacity=CAPACITY)
    sending = _Counting(plan, name.partition(".")[0], layer)
    numbers = itertools.count(1)
    with layer.listen([REQUESTS], lambda: None):
        while not stop.is_set():
            for _, request in layer.receive_many([REQUESTS], LIMIT, WAIT):
                if "body_channel" in request:
                    _read_body(layer, request["body_channel"])
                sending.add(request["reply_channel"], ANSWER)
                if next(numbers) % GROUP_EVERY == 0:
                    layer.send_group(GROUP, {"text": "something is new"})
                    sending.count(1)
            sending.flush()
    layer.close()


def _read_body(layer: BaseLayer, channel: str) -> None:
    while chunks := layer.receive_many([channel], 10, WAIT):
        if not chunks[-1][1]["more_content"]:
            return
