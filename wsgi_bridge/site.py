"""Site: what a worker does with the messages that no route takes, which are those of the WSGI app.

A request is the app's. A handshake is accepted if any event of its socket has a route; else the app
is shown it, and may take the socket for itself, as under gunicorn's own workers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from wsgi_bridge.events.consumers import CONSUMER_NOT_ANSWERED
from wsgi_bridge.exceptions import ChannelLayerError
from wsgi_bridge.route_statistics import RouteStatistics
from wsgi_bridge.wsgi import WsgiApp, collect_response, run_wsgi
from wsgi_bridge.wsgi_environ import make_environ
from wsgi_bridge.wsgi_input import open_input

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer
    from wsgi_bridge.outgoing import Outgoing
    from wsgi_bridge.routing import Router

__all__ = ["SITE", "HijackedSocket", "Site"]

logger = logging.getLogger(__name__)

# What the statistics call it.
SITE = "site"

_NOT_FOUND = {"status": 404, "headers": [[b"Content-Type", b"text/plain; charset=utf-8"]],
              "content": b"404 Not Found\n"}  # fmt: skip


class HijackedSocket(Protocol):
    """A socket that a WSGI app may take for itself (``environ["gunicorn.socket"]``)."""

    is_taken: bool

    def finish(self) -> None:
        """The app is done with it."""


class Site:
    """The WSGI app of one worker. The arguments are those of Worker."""

    def __init__(
        self,
        app: WsgiApp,
        layer: BaseLayer,
        router: Router,
        *,
        environ: dict[str, object],
        software: str,
        multithread: bool,
        multiprocess: bool,
        socket_of: Callable[[str], HijackedSocket | None] | None,
        socket_key: str,
    ) -> None:
        self.statistics = RouteStatistics(SITE, ["http.request"])
        #: Where responses may wait for those of the next requests.
        self.outgoing: Outgoing | None = None
        self._app = app
        self._layer = layer
        self._router = router
        self._environ = environ
        self._software = software
        self._multithread = multithread
        self._multiprocess = multiprocess
        self._socket_of = socket_of
        self._socket_key = socket_key

    def run(self, message: dict[str, Any]) -> None:
        """Have the app answer a request. Blocks as long as it does; raises nothing of its own."""
        statistics = self.statistics
        statistics.begun = number = statistics.begun + 1
        begun = perf_counter() if number >= statistics.next_timed else 0.0
        went_well = False
        try:
            went_well = run_wsgi(
                self._app,
                message,
                self._layer,
                multithread=self._multithread,
                multiprocess=self._multiprocess,
                server_software=self._software,
                extra_environ=self._environ,
                outgoing=self.outgoing,
            )
        finally:
            statistics.ended += 1
            if begun:
                statistics.add_time(perf_counter() - begun)
            if not went_well:
                statistics.errors += 1

    def answer_connect(self, message: dict[str, Any]) -> None:
        """Answer a handshake without a route for ``websocket.connect``."""
        if self._router.accepts_websocket(message):
            window = self._router.window_of(message)
            self._reply(message, {"accept": True, **({"window": window} if window > 1 else {})})
            return
        socket = self._socket_of(message["reply_channel"]) if self._socket_of else None
        answer = _NOT_FOUND if socket is None else self._show(message, socket)
        if answer is not None:
            self._reply(message, {"accept": False, **answer})

    def _show(self, message: dict[str, Any], socket: HijackedSocket) -> dict[str, Any] | None:
        """Let the app take the socket for itself.

        Returns its refusal, or None when it took the socket. A site that would answer with a page
        knows nothing of WebSockets there: 404.
        """
        stream = open_input({**message, "body": b""}, self._layer, lambda _: None)
        environ = make_environ(
            message,
            stream,
            multithread=self._multithread,
            multiprocess=self._multiprocess,
            server_software=self._software,
        )
        environ.update(self._environ)
        environ[self._socket_key] = socket
        try:
            status, headers, content = collect_response(
                self._app, environ, min_status=300, hijacked=lambda: socket.is_taken
            )
        finally:
            if socket.is_taken:
                socket.finish()
        if socket.is_taken:
            return None
        if status < 300:
            return _NOT_FOUND
        return {"status": status, "headers": headers, "content": content}

    def _reply(self, message: dict[str, Any], answer: dict[str, Any]) -> None:
        try:
            self._layer.send(message["reply_channel"], answer)
        except ChannelLayerError as exc:
            CONSUMER_NOT_ANSWERED.log(
                logger, "no answer to %(path)s", cause=exc, exc_info=True, path=message.get("path")
            )
