"""What `wsgi-bridge worker` was told."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT_GRACEFUL_TIMEOUT", "DEFAULT_THREADS", "Options"]

# Threads of a process. A view that waits for its database seven eighths of the time keeps a core
# busy with eight; more than that contend for the interpreter's lock, and each of them may hold a
# database connection. Also dramatiq's default.
DEFAULT_THREADS = 8
# Seconds for what has been taken to finish when a process stops; gunicorn's graceful_timeout.
DEFAULT_GRACEFUL_TIMEOUT = 30.0
# Seconds after which the log tells where a consumer is that has not finished: what gunicorn kills
# a worker for.
SLOW_AFTER = 30.0


@dataclass(frozen=True)
class Options:
    """Times are in seconds, sizes in bytes; 0 is no limit."""

    target: str
    processes: int = 1
    threads: int = DEFAULT_THREADS
    greenlets: int = 0
    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    reload: bool = False
    max_messages: int = 0
    max_memory: int = 0
    graceful_timeout: float = DEFAULT_GRACEFUL_TIMEOUT
    slow_after: float = SLOW_AFTER
