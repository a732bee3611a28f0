"""Telling systemd, where it started us (`Type=notify`): sd_notify(3), one datagram."""

from __future__ import annotations

import logging
import os
import socket

from wsgi_bridge.events.processes import SYSTEMD_NOT_TOLD

__all__ = ["notify"]

logger = logging.getLogger(__name__)


def notify(state: str) -> None:
    """Send a state, such as `READY=1`, if anybody wants to know. Does not block."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # of the abstract namespace
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notifying:
            notifying.setblocking(False)
            notifying.sendto(state.encode(), address)
    except OSError as exc:
        SYSTEMD_NOT_TOLD.log(
            logger, "systemd could not be told %(state)s: %(cause)s", cause=exc, state=state
        )
