"""The live figures: the bridge's own statistics, pushed once a second while anybody looks.

One thread for all who look. It starts with the first page and ends after the last, so that an idle
site does nothing.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from wsgi_bridge import Group, Message

GROUP = "figures"
RATES = ("messages", "requests")  # counted by the bridge, shown as so many a second
INTERVAL = 1.0  # seconds between two samples


class Figures:
    """Samples `statistics` and sends each sample to the group `figures`."""

    def __init__(self, statistics: Callable[[], Mapping[str, Any]]) -> None:
        self._statistics = statistics
        self._lock = threading.Lock()
        self._is_running = False

    def connect(self, message: Message) -> None:
        """Accept a page, and see to it that somebody is sampling."""
        message.reply_channel.send({"accept": True})
        # The page is in the group before the thread is asked for, so that it cannot end in between.
        Group(GROUP).add(message.reply_channel)
        with self._lock:
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="figures", daemon=True).start()

    def _run(self) -> None:
        before, then = self._counts(), time.monotonic()
        while self._is_watched():
            time.sleep(INTERVAL)
            counts, now = self._counts(), time.monotonic()
            rates = {name: (counts[name] - before[name]) / (now - then) for name in RATES}
            Group(GROUP).send({"text": json.dumps({**counts, **rates})})
            before, then = counts, now

    def _is_watched(self) -> bool:
        with self._lock:
            self._is_running = bool(Group(GROUP).channels())
            return self._is_running

    def _counts(self) -> dict[str, int]:
        statistics = self._statistics()
        return {
            "connections": statistics["connections"],
            "sockets": statistics["websockets"],
            "requests": statistics["requests_count"],
            "messages": statistics["layer"]["messages_count"],
        }
