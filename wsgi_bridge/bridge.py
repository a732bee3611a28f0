"""Bridge: the one object that a site configures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from wsgi_bridge import add_ons
from wsgi_bridge.consumers import set_default_layer
from wsgi_bridge.delays import Periodic
from wsgi_bridge.layers import BaseLayer, open_layer
from wsgi_bridge.routing import Router
from wsgi_bridge.settings import load_settings

DEFAULT_LAYER = "memory://"
LAYER_VARIABLE = "CHANNEL_LAYER"

RouteFigures = Callable[[], dict[str, dict[str, Any]]]
Environ = dict[str, Any]
StartResponse = Callable[..., Any]
# Given a bridge and a request, what answers it in the bridge's place; None for what it leaves.
HandOff = Callable[["Bridge", Environ, StartResponse], "Iterable[bytes] | None"]

_hand_offs: list[HandOff] = []


class Bridge:
    """A WSGI app, the consumers beside it, and the layer between them and the server.

        routing = [route("websocket.receive", on_message, path=r"^/chat/$")]
        application = Bridge(site, routing=routing)

    ``app``: any WSGI callable. ``routing``: a list of ``route``, ``route_class`` and ``include``,
    or its dotted name. ``layer``: a URL (``memory://`` unless given), or an open layer; the
    environment's CHANNEL_LAYER goes before it. The other keywords are the server's settings
    (settings.py), each of which the environment may override as ASGI_NAME; ``consumers=None``
    leaves them to other processes. Raises RoutingError, TypeError, ValueError.

    Also a plain WSGI app, so that the site runs under any server; WebSocket URLs answer 426 there.
    """

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        routing: Any = None,
        layer: str | BaseLayer | None = None,
        **settings: Any,
    ) -> None:
        if not callable(app):
            raise TypeError(f"app is a WSGI callable, not {app!r}")
        self.app = app
        self._router = Router(routing)
        self._own_routes = self._router.entries
        self._add_ons: tuple[add_ons.AddOn, ...] = ()
        self.settings = load_settings(settings)
        self._layer_option = layer
        self._layer: BaseLayer | None = None
        self._layer_pid = 0
        self._server_statistics: Callable[[], dict[str, int]] = dict
        self._route_statistics: RouteFigures = dict
        self._all_route_statistics: RouteFigures = dict
        self._delay_statistics: Callable[[], dict[str, int]] = dict
        # What `send_every` was told, for the workers of this bridge. Not for sites.
        self.periodic: list[Periodic] = []

    @property
    def router(self) -> Router:
        """The compiled routing: the site's, then that of the add-ons installed by now."""
        found = add_ons.installed()
        if found != self._add_ons:
            added = (entry for each in found for entry in each.routing)
            self._router = Router([*self._own_routes, *added])
            self._add_ons = found
        return self._router

    @property
    def layer_url(self) -> str:
        """The URL of the layer that will be opened; "" if an open one was given."""
        return self._find_url(DEFAULT_LAYER)

    def _find_url(self, default: str) -> str:
        option = os.environ.get(LAYER_VARIABLE) or self._layer_option or default
        return option if isinstance(option, str) else ""

    @property
    def names_layer(self) -> bool:
        """Whether the site says which layer to use; the environment goes before it."""
        return bool(self._layer_option) and not os.environ.get(LAYER_VARIABLE)

    @property
    def has_reachable_layer(self) -> bool:
        """Whether other processes can open the layer too: it has a name, and is not in memory."""
        if self._find_url("") == "":
            return isinstance(self._layer_option, BaseLayer) and not _is_memory(self._layer_option)
        return urlsplit(self.layer_url).scheme != "memory"

    @property
    def layer(self) -> BaseLayer:
        """The layer, opened on first use in each process: servers fork."""
        if self._layer is None or self._layer_pid != os.getpid():
            self.open_layer()
        assert self._layer is not None
        return self._layer

    def open_layer(
        self,
        *,
        default: str = DEFAULT_LAYER,
        local_first: bool = False,
        asks_site: bool = True,
        **options: Any,
    ) -> BaseLayer:
        """Open the layer for this process and make it the default of ``Group`` and ``Channel``.

        ``default`` is the URL when neither the site nor the environment names a layer.
        ``local_first``: this process is server and worker, and puts a layer of its own before one
        that it shares with others. ``asks_site``: whether the site's layer goes before ``default``;
        who shares it with processes that do not know the site cannot use that. ``options`` are
        those that the server would have; what the URL says goes before them.
        """
        layer = self._find_layer(default, options, asks_site)
        if local_first:
            layer = _put_local_first(layer)
        self._layer = layer
        self._layer_pid = os.getpid()
        set_default_layer(layer)
        add_ons.on_open()
        return layer

    def lend_layer(self, layer: BaseLayer) -> Callable[[], None]:
        """Run on ``layer``, whatever else was named; return a function that ends that. For tests.

        It is the default of ``Group`` and ``Channel`` meanwhile.
        """
        before = (self._layer, self._layer_pid)
        self._layer, self._layer_pid = layer, os.getpid()
        set_default_layer(layer)

        def give_back() -> None:
            self._layer, self._layer_pid = before

        return give_back

    def _find_layer(self, default: str, options: dict[str, Any], asks_site: bool) -> BaseLayer:
        if not asks_site:
            return open_layer(os.environ.get(LAYER_VARIABLE) or default, **options)
        url = self._find_url(default)
        if not url and isinstance(self._layer_option, BaseLayer):
            return self._layer_option
        return open_layer(url, **options)

    def send_every(
        self,
        seconds: float,
        channel: str,
        content: dict[str, Any] | None = None,
        *,
        id: str = "",  # noqa: A002 (MESSAGES.md)
    ) -> None:
        """Have a message sent to a channel every so many seconds, by whoever runs this bridge.

        To be called once, beside the routing. However many processes run the bridge, each message
        is sent once, and a process that starts does not put it off. `id`, the channel's name unless
        given, tells several of a channel apart. Raise ValueError, TypeError, InvalidName.
        """
        new = Periodic.make(seconds, channel, content or {}, id or channel)
        if any((each.channel, each.id) == (new.channel, new.id) for each in self.periodic):
            raise ValueError(f"send_every of {channel!r} twice: tell them apart by id=")
        self.periodic.append(new)

    def statistics(self) -> dict[str, Any]:
        """Return what this process's server counted, and others under their names.

        ``routes`` and ``delays`` are its worker's, ``layer`` is the layer's.

        Under ``all_routes`` is what all processes that share the layer count of each route.
        Without a server of ours around it, only the latter. Does not block on memory layers.
        """
        return {
            **self._server_statistics(),
            "routes": self._route_statistics(),
            "all_routes": self._all_route_statistics(),
            "delays": self._delay_statistics(),
            "layer": self.layer.global_statistics(),
        }

    def attach(self, server_statistics: Callable[[], dict[str, int]]) -> None:
        """Have ``statistics`` ask the server that runs this bridge. For servers."""
        self._server_statistics = server_statistics

    def attach_routes(self, of_process: RouteFigures, of_all: RouteFigures) -> None:
        """Have ``statistics`` ask the worker that runs this bridge's consumers. For workers."""
        self._route_statistics = of_process
        self._all_route_statistics = of_all

    def attach_delays(self, delay_statistics: Callable[[], dict[str, int]]) -> None:
        """Have ``statistics`` ask what puts this bridge's scheduled messages. For workers."""
        self._delay_statistics = delay_statistics

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request under any WSGI server: rung 0 of the ladder, backwards."""
        for hand_off in _hand_offs:
            answer = hand_off(self, environ, start_response)
            if answer is not None:
                return answer
        if self._is_routed_websocket(environ):
            content = (
                b"WebSockets are not served here: run this site with gunicorn_asgi.Worker, "
                b"or on uWSGI with uwsgi_asgi\n"
            )
            # RFC 9110 section 15.5.22: 426 has an Upgrade field.
            headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(content))),
                       ("Upgrade", "websocket")]  # fmt: skip
            start_response("426 Upgrade Required", headers)
            return [content]
        return self.app(environ, start_response)

    def _is_routed_websocket(self, environ: Environ) -> bool:
        """Whether this is a handshake for a URL that the routing would serve.

        Other handshakes are the site's own affair (flask-sock under a threaded server).
        """
        if environ.get("HTTP_UPGRADE", "").lower() != "websocket":
            return False
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        message = {"path": path.encode("latin-1").decode("utf-8", "replace")}
        return self.router.accepts_websocket(message)


def attach_hand_off(hand_off: HandOff) -> None:
    """Have bridges that run as a plain WSGI app ask ``hand_off`` first. For servers.

    For one whose workers are another's, and hand connections to a process that serves them.
    """
    _hand_offs[:] = [hand_off]


def _put_local_first(layer: BaseLayer) -> BaseLayer:
    """Return a layer that others share behind one of this process; others as they are."""
    from wsgi_bridge.layers.local_first import LocalFirstLayer

    if isinstance(layer, LocalFirstLayer) or _is_memory(layer):
        return layer
    return LocalFirstLayer.over(layer)


def _is_memory(layer: BaseLayer) -> bool:
    from wsgi_bridge.layers.memory import MemoryLayer

    return isinstance(layer, MemoryLayer)
