"""What a soak is told."""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["Plan"]

SPLIT = "gunicorn_asgi.SplitWorker"


@dataclass(frozen=True)
class Plan:
    """The settings of a run. Times are seconds."""

    #: How long the site is reloaded and its workers are killed; and then left alone, under the same
    #: traffic: a reload forgets what a worker has leaked, so some workers have to become old.
    seconds: float = 1800.0
    calm: float = 300.0
    #: From when on nothing may grow; and for how long a new process may.
    settle: float = 300.0
    youth: float = 120.0
    #: gunicorn's worker class, and how many workers.
    worker: str = "gunicorn_asgi.Worker"
    workers: int = 2
    #: Seconds between two reloads, and between two kills; 0: none.
    hup_every: float = 60.0
    kill_every: float = 170.0
    #: Visits that there have to be; else it takes longer.
    visits: int = 0
    #: Seconds between two samples.
    interval: float = 1.0
    #: Visitors of each kind, in parts of what `traffic` has.
    scale: float = 1.0
    #: Bytes that are no growth of memory.
    bound: int = 3_000_000
    #: What the site does wrong, of `sabotage`; several are separated by commas.
    sabotage: str = ""
    seed: int = 0

    @property
    def is_split(self) -> bool:
        """Whether sockets survive a reload."""
        return self.worker == SPLIT

    @classmethod
    def names(cls) -> set[str]:
        """Return the names of the settings."""
        return {field.name for field in fields(cls)}
