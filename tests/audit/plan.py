"""What an audit is asked to do: the options of the command line, known to all its processes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """The options of an audit. Times in seconds, sizes in messages."""

    url: str
    folder: str  # where logs and addresses are
    seconds: float = 60.0
    senders: int = 2
    receivers: int = 3
    seed: int = 0
    #: Between two kills on average; 0 for none.
    kill_every: float = 0.0
    kill_senders: bool = False
    #: Between two restarts of the backend on average; 0 for none.
    restart_every: float = 0.0
    local_first: bool = False
    sabotage: str = ""
    #: Messages a second of each sender; 0 for as many as it can.
    rate: float = 1000.0
    #: Normal channels, read by every receiver.
    channels: int = 3
    #: Messages that a receiver asks for at once.
    limit: int = 16
    expiry: float = 4.0
    capacity: int = 100
    #: Members of the group, in all.
    members: int = 1000
    #: WebSockets, and the processes of their consumers.
    sockets: int = 200
    workers: int = 4
    #: How often the consumers are replaced, and where they run.
    times: int = 20
    arrangement: str = "worker"
    #: To be sent at least; the growth audit ends with them.
    messages: int = 0
    #: Seconds for which keys in Redis outlive what they hold, if not the layer's own figure.
    grace: float = 0.0
    #: Seconds after which Redis takes a silent process for dead, if not the layer's own figure.
    life: float = 0.0
    #: Bytes by which a process or a file may have grown from the second quarter to the last.
    bound: int = 4_000_000
    #: Part of a figure by which it may have grown in any case.
    tolerance: float = 0.1

    @property
    def scheme(self) -> str:
        """What kind of layer it is."""
        return self.url.partition(":")[0]

    @classmethod
    def names(cls) -> frozenset[str]:
        """Return the names of all options."""
        return frozenset(each.name for each in fields(cls))

    def dump(self) -> str:
        """Return it in a form for a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Plan:
        """Return what was dumped."""
        return cls(**json.loads(text))
