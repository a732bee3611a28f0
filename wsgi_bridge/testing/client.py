"""Client: drives a site in process, as a browser would from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import urljoin

from wsgi_bridge.bridge import Bridge
from wsgi_bridge.consumers import Group
from wsgi_bridge.layers import BaseLayer
from wsgi_bridge.layers.closing import Closing
from wsgi_bridge.testing.clock import FakeClock
from wsgi_bridge.testing.cookies import Cookies
from wsgi_bridge.testing.engine import Engine, describe
from wsgi_bridge.testing.exceptions import NothingReceived
from wsgi_bridge.testing.exchange import Exchange
from wsgi_bridge.testing.headers import Fields, Headers
from wsgi_bridge.testing.request import REDIRECTS, Content, Query, Request, encode_query
from wsgi_bridge.testing.request import make_request as _make_request
from wsgi_bridge.testing.response import Response
from wsgi_bridge.testing.websocket import WebSocket

# Real seconds to wait for what other threads and processes send. Where there are none, nobody
# waits: everything that was due has run.
TIMEOUT = 1.0
# What browsers follow before they say that it goes in circles.
MAX_REDIRECTS = 20


class Client(Closing):
    """A visitor of a site, which runs in the calling thread: no socket, no server, no sleep.

        with Client(application) as client:
            assert client.get("/rooms/lobby").status == 200
            with client.websocket("/rooms/lobby") as socket:
                socket.send("hello")
                assert socket.receive() == "hello"

    ``application``: a `Bridge`, or any WSGI callable. ``layer``: the URL of the layer to run it on,
    or an open one. ``base_url``: where the site is, for its environ, cookies and origin checks.
    ``headers``: sent with every request. ``environ``: added to every WSGI environ. ``clock``: what
    the layer and the server take for the time. ``hold``: channels whose consumers run only when
    ``run`` is called. ``timeout``: real seconds to wait for what other threads and processes send.

    After each action everything that is due is run, in one thread and always in the same order;
    what a consumer or the app raised is raised to the caller then, unless ``raise_exceptions`` is
    False: then a test sees what a peer would see. Close it, or use it as a context manager.
    """

    def __init__(
        self,
        application: Bridge | Callable[..., Iterable[bytes]],
        layer: str | BaseLayer = "memory://",
        *,
        base_url: str = "http://testserver",
        headers: Fields = (),
        environ: dict[str, object] | None = None,
        clock: FakeClock | None = None,
        hold: Sequence[str] = (),
        timeout: float = TIMEOUT,
        raise_exceptions: bool = True,
    ) -> None:
        engine = Engine(
            application,
            layer,
            clock=clock,
            hold=hold,
            environ=environ,
            raise_exceptions=raise_exceptions,
        )
        self._begin(engine, base_url, headers, timeout)
        self._owns_engine = True

    def _begin(self, engine: Engine, base_url: str, headers: Fields, timeout: float) -> None:
        self._engine = engine
        self._owns_engine = False
        self.base_url = base_url
        self.headers = Headers(headers)
        self.timeout = timeout
        self.cookies = Cookies(base_url)
        self.address = ("127.0.0.1", 50000)

    def visitor(self, headers: Fields = ()) -> Client:
        """Return another visitor of the same site, with cookies of their own."""
        other = Client.__new__(Client)
        other._begin(self._engine, self.base_url, headers or self.headers, self.timeout)
        return other

    # HTTP

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Fields = (),
        query: Query = (),
        content: Content | None = None,
        form: Query | None = None,
        json: Any = None,
        follow_redirects: bool = False,
        stream: bool = False,
    ) -> Response:
        """Ask for ``path`` and return the answer; see `Response` for ``stream``.

        The body is one of ``content`` (bytes, text, or an iterable of bytes, which is sent in
        chunks), ``form`` and ``json``. Raise NothingReceived when there is no answer, and what the
        site raised.
        """
        request = self._request(
            method, path, headers, query=query, content=content, form=form, json=json
        )
        response = self._answer(request, stream)
        history: list[Response] = []
        while follow_redirects and response.status in REDIRECTS and "Location" in response.headers:
            if len(history) == MAX_REDIRECTS:
                raise NothingReceived(f"{request.url}: more than {MAX_REDIRECTS} redirections")
            response.close()
            history.append(response)
            request = request.redirect(response.status, response.headers["Location"])
            response = self._answer(self._with_cookies(request), stream)
        response.history = history
        return response

    def get(self, path: str, **options: Any) -> Response:
        """Do as `request`."""
        return self.request("GET", path, **options)

    def head(self, path: str, **options: Any) -> Response:
        """Do as `request`."""
        return self.request("HEAD", path, **options)

    def options(self, path: str, **options: Any) -> Response:
        """Do as `request`."""
        return self.request("OPTIONS", path, **options)

    def post(self, path: str, **options: Any) -> Response:
        """Do as `request`."""
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> Response:
        """Do as `request`."""
        return self.request("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> Response:
        """Do as `request`."""
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> Response:
        """Do as `request`."""
        return self.request("DELETE", path, **options)

    def start(self, method: str, path: str, *, headers: Fields = (), **options: Any) -> Pending:
        """Ask, and do not wait for the answer: for a long poll. Options are those of `request`."""
        request = self._request(method, path, headers, **options)
        return Pending(self, request, self._begin_exchange(request, stream=False))

    def _answer(self, request: Request, stream: bool) -> Response:
        exchange = self._begin_exchange(request, stream)
        return self._finish(request, exchange, stream)

    def _request(self, method: str, path: str, headers: Fields, **options: Any) -> Request:
        fields = [*_without(self.headers, Headers(headers)), *Headers(headers).fields()]
        url = urljoin(self.base_url, path)
        return self._with_cookies(_make_request(method, url, fields, **options))

    def _with_cookies(self, request: Request) -> Request:
        field = self.cookies.field_for(request.url)
        kept = [pair for pair in request.headers.fields() if pair[0] != "cookie"]
        ours = [("cookie", field)] if field and "Cookie" not in Headers(kept) else []
        return Request(request.method, request.url, Headers([*kept, *ours]), request.content)

    def _begin_exchange(self, request: Request, stream: bool) -> Exchange:
        exchange = Exchange(self._engine, request, is_stepwise=stream)
        exchange.begin(self.address)
        self._engine.run()
        return exchange

    def _finish(self, request: Request, exchange: Exchange, stream: bool) -> Response:
        def is_there() -> bool:
            return exchange.is_answered if stream else exchange.is_over

        if not exchange.run_until(is_there, self.timeout):
            waiting = describe(self._engine.strands.channels)
            raise NothingReceived(f"{request.method} {request.url} has no answer{waiting}")
        self.cookies.keep(request.url, exchange.headers)
        return Response(exchange, request, self.timeout)

    # WebSockets

    def websocket(
        self,
        path: str,
        *,
        subprotocols: Sequence[str] = (),
        headers: Fields = (),
        query: Query = (),
        origin: str | None = None,
    ) -> WebSocket:
        """Open a WebSocket; ``origin`` is the page's, which only browsers send.

        Raise HandshakeRefused when the server or the consumer refuses, NothingReceived when nobody
        answers, and what a consumer raised.
        """
        url = urljoin(self.base_url, path).replace("http", "ws", 1)
        text = encode_query(query)
        url += ("&" if "?" in url else "?") + text if text else ""
        fields = [*_without(self.headers, Headers(headers)), *Headers(headers).fields()]
        if origin is not None:
            fields.append(("Origin", origin))
        cookie = self.cookies.field_for(url)
        if cookie and "Cookie" not in Headers(fields):
            fields.append(("Cookie", cookie))
        socket = WebSocket(self._engine, self.timeout)
        try:
            socket.connect(url, fields, subprotocols, self.address)
        finally:
            self.cookies.keep(url, socket.headers)
        return socket

    # Channels, groups, time

    @property
    def layer(self) -> BaseLayer:
        """The layer, to send to and to look at."""
        return self._engine.shared_layer

    @property
    def bridge(self) -> Bridge:
        """The bridge that is driven."""
        return self._engine.bridge

    @property
    def clock(self) -> FakeClock:
        """The time of the layer and of the server: ``clock.advance(60)``."""
        return self._engine.clock

    def group(self, name: str) -> Group:
        """Return a group of the site's layer: its ``channels()``, its ``send``."""
        return Group(name, self._engine.layer)

    def send(self, channel: str, content: dict[str, Any]) -> None:
        """Send a message to a channel, and run what that makes due."""
        self._engine.layer.send(channel, content)
        self._engine.run()

    def messages(self, channel: str) -> list[dict[str, Any]]:
        """Take and return what waits on a channel that no consumer takes from, or that is held."""
        self._engine.run()
        taken = []
        while batch := self._engine.layer.receive_many([channel], 100):
            taken += [message for _, message in batch]
        return taken

    def run(self, channel: str | None = None) -> int:
        """Run everything that is due, or the consumer of each message on a channel that is held.

        Return how many messages there were on that channel.
        """
        if channel is not None:
            return self._engine.run_channel(channel)
        self._engine.run()
        return 0

    # The end

    def close(self) -> None:
        """Let go of the site and of its layer; idempotent. A visitor's does nothing."""
        if self._owns_engine:
            self._owns_engine = False
            self._engine.close()


class Pending:
    """A request whose answer may come later."""

    def __init__(self, client: Client, request: Request, exchange: Exchange) -> None:
        self._client = client
        self._request = request
        self._exchange = exchange

    @property
    def is_answered(self) -> bool:
        """Whether the answer has begun."""
        return self._exchange.is_answered

    def response(self) -> Response:
        """Return the whole answer; raise NothingReceived if it does not come."""
        return self._client._finish(self._request, self._exchange, stream=False)

    def close(self) -> None:
        """Go away without waiting for it."""
        self._exchange.abandon()


def _without(headers: Headers, others: Headers) -> list[tuple[str, str]]:
    """Return the fields that the others do not name."""
    return [(name, value) for name, value in headers.fields() if name not in others]
