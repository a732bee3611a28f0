"""Response: the answer to a request, as a test reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from email.message import Message
from http.cookies import SimpleCookie
from typing import Any

from wsgi_bridge.layers.closing import Closing
from wsgi_bridge.testing.exceptions import NothingReceived
from wsgi_bridge.testing.exchange import Exchange
from wsgi_bridge.testing.headers import Headers
from wsgi_bridge.testing.request import Request


class Response(Closing):
    """An answer: all of it, or with ``stream=True`` its head, and the content as it comes.

    Iterate over it for the blocks as the app yielded them: the app goes on only as far as it is
    asked to. ``close`` goes away before the end, which closes the app's iterable. ``history`` has
    the redirections before it.
    """

    def __init__(
        self, exchange: Exchange, request: Request, timeout: float, history: Sequence[Response] = ()
    ) -> None:
        self.request = request
        self.history = list(history)
        self._exchange = exchange
        self._timeout = timeout
        self._content: bytes | None = None

    @property
    def status(self) -> int:
        """The status, such as 200."""
        return self._exchange.status

    @property
    def headers(self) -> Headers:
        """The fields, the server's own included."""
        return self._exchange.headers

    @property
    def url(self) -> str:
        """The absolute URL that was answered."""
        return self.request.url

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that this answer sets."""
        cookies: SimpleCookie = SimpleCookie()
        for field in self.headers.get_all("Set-Cookie"):
            cookies.load(field)
        return {name: morsel.value for name, morsel in cookies.items()}

    @property
    def content(self) -> bytes:
        """The whole content, or what is left of a stream."""
        if self._content is None:
            self._content = self._exchange.read_all(self._timeout)
            if not self._exchange.is_over:
                raise NothingReceived(f"{self.url}: the answer has not come to its end")
        return self._content

    @property
    def text(self) -> str:
        """The content, decoded as its Content-Type says; UTF-8 unless it does."""
        field = Message()
        field["Content-Type"] = self.headers.get("Content-Type", "text/plain")
        return self.content.decode(field.get_content_charset("utf-8"), "replace")

    def json(self) -> Any:
        """Return what the content says in JSON. Raise ValueError."""
        return json.loads(self.content)

    @property
    def is_complete(self) -> bool:
        """Whether all of it came; an answer that was broken off closes a real connection."""
        return self._exchange.is_complete

    def __iter__(self) -> Iterator[bytes]:
        while (chunk := self._exchange.next_chunk(self._timeout)) is not None:
            yield chunk
        if not self._exchange.is_over:
            raise NothingReceived(f"{self.url}: nothing more of the answer came")

    def close(self) -> None:
        """Go away; idempotent."""
        self._exchange.abandon()

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.url}>"
