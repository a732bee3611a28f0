"""How many messages could not be decoded, by channel. All of it inside a transaction.

    x READER    a number

It outlives the record of its channel: there are next to none of these.
"""

from __future__ import annotations

import struct

from wsgi_bridge.layers.ipc.session import Session

__all__ = ["ERRORS", "add", "of_all", "of_channel"]

#: What is raised for a row that is none of ours.
ERRORS = (struct.error, UnicodeDecodeError)

_COUNT = struct.Struct("<Q")


def add(session: Session, reader: str, number: int = 1) -> None:
    """Count messages to a reader."""
    session.txn.put(b"x" + reader.encode(), _COUNT.pack(of_channel(session, reader) + number))


def of_channel(session: Session, reader: str) -> int:
    """Return how many there were to a reader."""
    data = session.txn.get(b"x" + reader.encode())
    return int(_COUNT.unpack(data)[0]) if data else 0


def of_all(session: Session) -> int:
    """Return how many there were to all of them."""
    return sum(_COUNT.unpack(data)[0] for _, data in session.scan(b"x"))
