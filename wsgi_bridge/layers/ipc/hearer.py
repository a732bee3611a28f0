"""How a native thread waits that is alone in its process: it hears for itself, without another."""

from __future__ import annotations

from threading import get_ident

from wsgi_bridge.layers.ipc.attachment import Attachment

__all__ = ["Hearer"]


class Hearer:
    """A native thread that hears for itself, and is roused by a datagram of its own process.

    Not by what it hears itself: it looks then in any case, and would hear its own datagram, and
    send the next, for ever.
    """

    def __init__(self, attachment: Attachment, reader: str) -> None:
        self._attachment = attachment
        self._reader = reader
        self._thread = get_ident()
        self._is_hearing = False

    def hear(self, timeout: float | None) -> None:
        """Wait for something to hear, or to be roused; see Doorbell."""
        self._is_hearing = True
        try:
            self._attachment.doorbell.hear(timeout)
        finally:
            self._is_hearing = False

    def wake(self) -> None:
        """Have it look; from any thread."""
        if not (self._is_hearing and get_ident() == self._thread):
            self._attachment.rouse(self._reader)
