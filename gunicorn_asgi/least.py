"""The least number of workers of a split gunicorn: its servers, and one that runs consumers.

gunicorn takes workers away until one is left (TTOU), and a reload may ask for a single one. Either
would leave sockets without anybody who answers them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gunicorn_asgi.events import WORKER_LEAST

__all__ = ["LeastWorkers"]


class LeastWorkers:
    """The hook `nworkers_changed` of gunicorn, before the site's own: takes such a change back."""

    def __init__(self, hook: Callable[[Any, int, int | None], object], log: Any) -> None:
        self.least = 2
        self._hook = hook
        self._log = log
        self._is_undoing = False

    @classmethod
    def install(cls, cfg: Any, servers: int, log: Any) -> None:
        """See to it that a worker is left beside so many servers. Idempotent, for each reload."""
        hook = cfg.nworkers_changed
        if not isinstance(hook, cls):
            hook = cls(hook, log)
            cfg.set("nworkers_changed", hook)
        hook.least = servers + 1

    def __call__(self, arbiter: Any, workers: int, before: int | None) -> None:
        """The number of workers is another one now; 0 is WINCH, which means all of them."""
        if self._is_undoing:
            return
        if before is None or not 0 < workers < min(before, self.least):
            self._hook(arbiter, workers, before)
            return
        WORKER_LEAST.log(
            self._log,
            "%(workers)s workers stay: with less, nobody would run consumers "
            "(ASGI_SERVERS and one more are needed)",
            cause="ASGI_SERVERS",
            workers=before,
        )
        self._is_undoing = True
        try:
            arbiter.num_workers = before
        finally:
            self._is_undoing = False
