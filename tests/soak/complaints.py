"""What the site's log complains of, less what the soak has asked for.

gunicorn and the packages begin each entry with its time, process and level (`gunicorn_settings`).
What has no such beginning was printed past the logging, which no code of ours does: a complaint,
unless it belongs to an entry that may have more lines.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from tests.soak.site import PROVOKED

__all__ = ["Complaint", "find_complaints"]

HEAD = re.compile(r"\[\d{4}-[^\]]+\] \[(\d+)\] \[([A-Z]+)\] (.*)")
QUIET = ("DEBUG", "INFO")

#: Entries that the visits, the reloads and the kills account for. A group `pid` is that of a
#: process that was killed.
EXPECTED = tuple(
    map(
        re.compile,
        (
            # The master, of its reloads and of a worker that was killed.
            r"Worker \(pid:(?P<pid>\d+)\) was sent SIGKILL!.*",
            r"Worker \(pid:(?P<pid>\d+)\) ended while busy with .*",
            r"Worker \(pid:\d+\) was sent SIGTERM!",
            # Malformed requests.
            r"gunicorn_asgi\.connection: Invalid request from ip=127\.0\.0\.1: .*",
            # Clients that do not read.
            r"wsgi_bridge\.server\.stalls: \d+ clients given up: .*",
            r"wsgi_bridge\.server\.backlog: closing /flood: .*",
            # An event of a process that was killed is lost, and said to be.
            r"wsgi_bridge\.server\.websocket: an event of \S+ was lost with its worker process.*",
        ),
    )
)

#: The last line of a traceback that was asked for, and the first of its entry.
EXPECTED_TRACEBACK = (
    re.compile(r"wsgi_bridge\.wsgi: the app failed at GET '/fail'"),
    re.compile(rf"RuntimeError: {PROVOKED}"),
)

#: Lines that are no complaint wherever they come: an empty one.
NOTHING = ("",)


@dataclass
class Complaint:
    """An entry that nothing accounts for, with its further lines."""

    level: str
    text: str
    more: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join([f"{self.level}: {self.text}", *self.more])


def find_complaints(log: str, killed: Collection[int]) -> list[Complaint]:
    """Return what is left of a log. `killed`: the processes that were."""
    return [entry for entry in _entries(log) if not _is_expected(entry, killed)]


def _entries(log: str) -> Iterator[Complaint]:
    entry = Complaint("INFO", "")
    for line in log.splitlines():
        head = HEAD.fullmatch(line)
        if head:
            yield entry
            entry = Complaint(head[2], head[3])
        elif entry.level in QUIET and line not in NOTHING:
            yield entry
            entry = Complaint("PRINTED", line)
        elif line not in NOTHING:
            entry.more.append(line)
    yield entry


def _is_expected(entry: Complaint, killed: Collection[int]) -> bool:
    if entry.level in QUIET:
        return True
    if entry.more:
        first, last = EXPECTED_TRACEBACK
        return bool(first.fullmatch(entry.text) and last.fullmatch(entry.more[-1]))
    found = next(filter(None, (known.fullmatch(entry.text) for known in EXPECTED)), None)
    if found is None:
        return False
    pid = found.groupdict().get("pid")
    return pid is None or int(pid) in killed
