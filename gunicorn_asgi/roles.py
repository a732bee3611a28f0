"""Which worker of a split gunicorn holds sockets and which runs consumers: decided in the master.

gunicorn makes its worker objects in the master, one by one, before each fork. So the master always
knows who is alive, and the next worker takes whatever role is vacant: whoever dies is replaced by
one of the same kind. The rules that keep the sockets open:

- When gunicorn has too many workers it stops the oldest. A server is made older by no day: it takes
  the age of the youngest, so that one which runs consumers goes in its place (TTOU).
- A reload makes as many workers as there should be and then stops as many of the oldest as are too
  many. Servers stay, so the first new workers are one too many each: they are made only to be
  stopped, in the servers' place.
"""

from __future__ import annotations

from typing import Any

from wsgi_bridge.processes.attendance import Presence

SERVER = "server"
CONSUMER = "consumer"
STAND_IN = "stand-in"

# One worker in so many holds sockets: it parses, and the others do what takes longer.
WORKERS_PER_SERVER = 4


class Roles:
    """The roles of one master's workers. Lives in the master; what a child has is a copy."""

    def __init__(self) -> None:
        #: How often the configuration was read: at the start, and at each reload.
        self.generation = 0
        self._cast_generation = 0
        self._servers: list[Any] = []
        self._stand_ins = 0
        self._presence: Presence | None = None

    def begin_generation(self) -> None:
        """The configuration is read, at the start or in a reload."""
        self.generation += 1

    def choose(self, age: int, servers: int) -> str:
        """Return the role of the worker that is made now, of this age.

        ``servers``: how many there should be.
        """
        self._servers = [server for server in self._servers if is_unreaped(server)]
        if self._cast_generation != self.generation:
            self._cast_generation = self.generation
            self._servers = self._servers[-servers:]  # who is left out keeps its age, and goes
            self._stand_ins = len(self._servers)
        for server in self._servers:
            server.age = age + 1
        if self._stand_ins:
            self._stand_ins -= 1
            return STAND_IN
        return SERVER if len(self._servers) < servers else CONSUMER

    def add_server(self, worker: Any) -> None:
        """Remember who holds sockets."""
        self._servers.append(worker)

    @property
    def presence(self) -> Presence:
        """What the worker that is made now, and its siblings, know each other by."""
        if self._presence is None:
            self._presence = Presence()
        self._presence.generation = self.generation
        return self._presence


def find_server_count(workers: int, asked: int) -> int:
    """Return how many of ``workers`` hold sockets; ``asked`` is the setting, 0 for the default."""
    return max(1, min(asked or workers // WORKERS_PER_SERVER, workers - 1))


def is_unreaped(worker: Any) -> bool:
    """Whether gunicorn counts a worker: it closes the temporary file of one that has ended."""
    try:
        worker.tmp.fileno()
    except ValueError:
        return False
    return True
