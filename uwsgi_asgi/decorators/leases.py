"""Leases: what one process has at a time, for as long as it lives, over the layer's storage.

Under the key of a lease is who has it, for `ttl` seconds, and a thread of the process renews it:
who dies loses it, and so does who stands still for as long. Each step is one of the storage's, with
the version that it was read in, so that two never have it at once while both are well.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from typing import TYPE_CHECKING

from uwsgi_asgi.decorators.events import TASK_LEASE_LATE, TASK_LEASE_LOST
from wsgi_bridge.exceptions import ChannelLayerError

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer

__all__ = ["Lease"]

logger = logging.getLogger(__name__)

# Seconds between two looks at what is to be renewed.
TICK = 0.5


class Lease:
    """The right to something, which one process has at a time."""

    def __init__(self, layer: BaseLayer, key: str, ttl: float) -> None:
        self.key = key
        self.ttl = ttl
        self.renew_at = 0.0
        self._storage = layer.storage
        self._holder = {"by": secrets.token_urlsafe(12)}

    def acquire(self) -> bool:
        """Have it from now on, unless somebody has; whether that worked."""
        if not self._storage.save(self.key, self._holder, ttl=self.ttl, expected_version=0):
            return False
        self.renew_at = time.monotonic() + self.ttl / 3
        _keeper.keep(self)
        return True

    def release(self) -> None:
        """Have it no longer; idempotent."""
        _keeper.drop(self)
        value, version = self._storage.load(self.key)
        if value == self._holder:
            self._storage.save(self.key, None, ttl=self.ttl, expected_version=version)

    def spend(self, ttl: float) -> None:
        """Have it no longer, and nobody else for `ttl` seconds."""
        _keeper.drop(self)
        self._storage.save(self.key, {"by": ""}, ttl=ttl)

    def is_spent(self) -> bool:
        """Whether its holder has spent it."""
        return self._storage.load(self.key).value == {"by": ""}

    def renew(self) -> bool:
        """Have it for `ttl` seconds more; whether we still had it. For the keeper."""
        value, version = self._storage.load(self.key)
        if value != self._holder:
            return False
        self.renew_at = time.monotonic() + self.ttl / 3
        return self._storage.save(self.key, self._holder, ttl=self.ttl, expected_version=version)


class _Keeper:
    """Renews the leases of this process, in a thread of its own. Safe after a fork."""

    def __init__(self) -> None:
        self._begin()
        self._pid = 0

    def _begin(self) -> None:
        self._condition = threading.Condition()
        self._held: set[Lease] = set()

    def keep(self, lease: Lease) -> None:
        if self._pid != os.getpid():
            self._start()
        with self._condition:
            if not self._held:
                self._condition.notify()
            self._held.add(lease)

    def drop(self, lease: Lease) -> None:
        with self._condition:
            self._held.discard(lease)

    def _start(self) -> None:
        with _start_lock:
            if self._pid == os.getpid():
                return
            self._begin()
            threading.Thread(target=self._run, name="leases", daemon=True).start()
            self._pid = os.getpid()

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._held:
                    self._condition.wait()
                held = list(self._held)
            now = time.monotonic()
            for lease in held:
                if lease.renew_at <= now:
                    self._renew(lease)
            time.sleep(TICK)

    def _renew(self, lease: Lease) -> None:
        try:
            is_ours = lease.renew()
        except ChannelLayerError as exc:
            TASK_LEASE_LATE.log(
                logger, "%(key)s cannot be kept yet: %(cause)s", cause=exc, key=lease.key
            )
            return
        with self._condition:
            if not is_ours and lease in self._held:  # else it was released meanwhile
                self._held.discard(lease)
                TASK_LEASE_LOST.log(
                    logger,
                    "%(key)s was lost: this process stood still for %(ttl)s s, or the layer lost "
                    "its data",
                    cause="another holder",
                    key=lease.key,
                    ttl=lease.ttl,
                )


_keeper = _Keeper()
_start_lock = threading.Lock()
