"""What the fragment says to the processes of a uWSGI: in their environment, which all of them have.

uWSGI refuses options that it does not know, so that its configuration sets variables.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wsgi_bridge.processes.options import DEFAULT_THREADS

__all__ = ["PREFIX", "QUEUE_VARIABLE", "Options", "load_options"]

PREFIX = "UWSGI_ASGI_"
#: Where the master says which descriptors the queue has.
QUEUE_VARIABLE = PREFIX + "QUEUE"

# Connections of one terminator. An idle one costs it 10 KB; the limit on open files bounds it too.
MAX_CONNECTIONS = 10_000
# Who may connect to the terminators' own socket, a path: whoever may can say who the client is.
LISTEN_MODE = "660"
# Seconds for what is under way when a mule stops. During a reload of the whole uWSGI nobody
# answers, so this is far less than the 60 of its mule-reload-mercy.
GRACEFUL_TIMEOUT = 5.0


@dataclass(frozen=True)
class Options:
    """``app`` is what the consumers are of, "" for the site that uWSGI itself serves.

    ``http`` are prefixes of the paths whose plain requests are handed over too; ``listen`` is the
    address of a socket that speaks the uwsgi protocol, ``listen_mode`` (octal) its permissions;
    ``consumers`` and ``terminators`` are numbers of mules.
    """

    app: str = ""
    http: str = ""
    listen: str = ""
    listen_mode: str = LISTEN_MODE
    consumers: int = 1
    terminators: int = 1
    threads: int = DEFAULT_THREADS
    max_connections: int = MAX_CONNECTIONS
    graceful_timeout: float = GRACEFUL_TIMEOUT

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The prefixes of ``http``."""
        return tuple(self.http.split())

    def variables(self) -> dict[str, str]:
        """Return the variables that say this; all, so that none is left of an earlier reading."""
        return {PREFIX + name.upper(): str(value) for name, value in vars(self).items()}


def load_options(environ: Mapping[str, str] = os.environ) -> Options:
    """Return what the environment says. Raises ValueError."""
    values: dict[str, Any] = {}
    for name, value in vars(Options()).items():
        variable = PREFIX + name.upper()
        if text := environ.get(variable):
            kind = type(value)
            try:
                values[name] = kind(text)
            except ValueError:
                raise ValueError(f"{variable} is {text!r}, not a {kind.__name__}") from None
    return Options(**values)
