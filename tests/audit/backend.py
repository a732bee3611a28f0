"""Where the layer of an audit is: an address, what is started for it, and how it is opened.

A name alone stands for a scheme: `ipc` is a layer in a private directory, `redis` one on servers of
the audit's own, `memory` one in this process, whose senders and receivers are threads.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from typing import Any

from tests.audit.plan import Plan
from tests.audit.sabotage import sabotage
from wsgi_bridge.layers import open_layer
from wsgi_bridge.layers.base import BaseLayer
from wsgi_bridge.layers.local_first import LocalFirstLayer
from wsgi_bridge.layers.memory import MemoryLayer

__all__ = ["Backend", "Crossings", "open_audited", "open_shared"]

#: Names that are the layer's of the audit, so that what else is on a Redis is left alone.
PREFIX = "wsgi_bridge_audit"


class Backend:
    """What the layer stands on; a context manager. `servers` of Redis are started if there are any.

    `url` is that of the layer.
    """

    def __init__(self, url: str, servers: int = 0) -> None:
        self.url = url
        self._number = servers
        self._servers: list[Any] = []
        self._folder: str | None = None

    def __enter__(self) -> Backend:
        if self._number:
            self._start()
            self.url = "redis://" + ",".join(f"127.0.0.1:{each.port}" for each in self._servers)
        elif self.url == "ipc":
            self._folder = tempfile.mkdtemp(prefix="bridge-audit-", dir=_memory_folder())
            self.url = f"ipc://{self._folder}/layer"
        elif self.url == "memory":
            self.url = "memory://"
        return self

    def _start(self) -> None:
        from tests.wsgi_bridge.layers.redis.servers import RedisServer

        for _ in range(self._number):
            self._servers.append(RedisServer())

    @property
    def servers(self) -> list[Any]:
        """The Redis servers that were started for the audit."""
        return self._servers

    def kill(self) -> None:
        """Kill the servers; what they hold is lost."""
        for server in self._servers:
            server.kill()

    def revive(self) -> None:
        """Start them again, empty; returns when they answer."""
        for server in self._servers:
            server.admin.close()
            server.start()

    def __exit__(self, *exc_info: object) -> None:
        for server in self._servers:
            server.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _memory_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def open_shared(plan: Plan, **options: Any) -> BaseLayer:
    """Open the layer that all processes share, as it is."""
    options = {"expiry": plan.expiry, "capacity": plan.capacity, **options}
    if plan.scheme.startswith("redis"):
        from wsgi_bridge.layers.redis import core, keeper

        options["prefix"] = PREFIX
        keeper.LIFE = plan.life or keeper.LIFE
        core.GRACE = plan.grace or core.GRACE
    elif plan.grace:
        from wsgi_bridge.layers.ipc import figures

        vars(figures)["RATE_WINDOW"] = plan.grace / 2
    return open_layer(plan.url, **options)


def open_audited(plan: Plan, **options: Any) -> tuple[BaseLayer, Crossings]:
    """Open the layer that is audited, for one process of the audit."""
    layer = open_shared(plan, **options)
    crossings = Crossings()
    if plan.local_first:
        crossings.watch(layer)
        local = MemoryLayer(expiry=layer.expiry, capacity=layer.capacity)
        layer = LocalFirstLayer(local, layer)
    sabotage(layer, plan.sabotage, plan.folder)
    return layer, crossings


class Crossings:
    """Tells for a message that was just sent whether it went to the layer that all share."""

    def __init__(self) -> None:
        self._state = threading.local()
        self._watches = False

    def watch(self, shared: BaseLayer) -> None:
        self._watches = True
        shared.send = self._noting(shared.send)  # type: ignore[method-assign]

    def _noting(self, send: Callable[..., None]) -> Callable[..., None]:
        def noting(channel: str, message: dict[str, Any]) -> None:
            send(channel, message)
            self._state.has_crossed = True  # not if it was refused: it then stayed

        return noting

    def take(self) -> bool:
        """Whether this thread's message crossed, since this was last asked."""
        has_crossed = getattr(self._state, "has_crossed", False)
        self._state.has_crossed = False
        return has_crossed or not self._watches
