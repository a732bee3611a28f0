"""Pages that the protocol server answers itself, without a consumer: metrics, liveness, readiness.

A server that has any gives its connections OwnPagesWork; one that has none pays nothing for them.
What they answer is in no statistics and no access log, and counts for no `max_requests`: who
watches a site every second is none of its clients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from gunicorn_asgi.request import Request
from wsgi_bridge.protocols.http import EXCHANGES, HttpExchange, error_response
from wsgi_bridge.server.request_at_work import ClientSide, RequestAtWork

__all__ = ["OwnPagesWork", "Page", "Pages", "Tell", "make_response"]

METHODS = ("GET", "HEAD")

#: Takes the response, now or later, in the hub.
Tell = Callable[[dict[str, Any]], None]
#: Is given a request and its client, [address, port] or None; calls Tell once.
Page = Callable[[Request, Any, Tell], None]
#: The pages of a server, by their path.
Pages = Mapping[bytes, Page]


def make_response(status: int, content_type: bytes, content: bytes) -> dict[str, Any]:
    """Return the response with a page that nobody may keep."""
    headers = [
        [b"Content-Type", content_type],
        [b"Content-Length", b"%d" % len(content)],
        [b"Cache-Control", b"no-store"],
    ]
    return {"status": status, "headers": headers, "content": content}


class OwnPagesWork(RequestAtWork):
    """The requests of a connection whose server has pages of its own."""

    __slots__ = ("_pages",)

    def __init__(self, pages: Pages, connection: ClientSide) -> None:
        super().__init__(connection)
        self._pages = pages

    def begin(self, request: Any) -> None:
        """Have a request answered: by a consumer, unless it is for one of these pages."""
        page = self._pages.get(request.target.partition(b"?")[0])
        if page is None:
            super().begin(request)
        else:
            self._begin_page(request, page)

    def _begin_page(self, request: Request, page: Page) -> None:
        # What is left of a body is not read: nobody may take it for a request.
        keep_alive = request.keep_alive and request.is_complete
        kind = EXCHANGES.get(request.method, HttpExchange)
        self.exchange = kind(request.method == "HEAD", request.version == "1.0", keep_alive)
        if not request.is_complete:
            self._connection.stop_reading()
        self._reply_channel = self._server.register(self)
        if request.method not in METHODS:
            self.deliver(error_response(405, headers=[(b"Allow", b"GET, HEAD")]))
            return
        page(request, self._connection.client, partial(self._take_page, self._reply_channel))

    def _take_page(self, reply_channel: str, response: dict[str, Any]) -> None:
        if reply_channel == self._reply_channel:  # else its client has gone, or waited too long
            self.deliver(response)
