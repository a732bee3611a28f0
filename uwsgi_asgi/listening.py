"""The terminators' own listening socket, made in the master; see `listener`."""

from __future__ import annotations

import contextlib
import os
import socket
import stat

__all__ = ["open_listener"]

BACKLOG = 1024


def open_listener(address: str, mode: int) -> socket.socket:
    """Return a listening socket: a path, whose permissions are ``mode``, or HOST:PORT.

    Raises OSError. What is left of an earlier one at the path is removed.
    """
    host, colon, port = address.rpartition(":")
    if colon and "/" not in address:
        return socket.create_server((host, int(port)), backlog=BACKLOG)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(address).st_mode):
            os.unlink(address)
    sock.bind(address)
    os.chmod(address, mode)
    sock.listen(BACKLOG)
    return sock
