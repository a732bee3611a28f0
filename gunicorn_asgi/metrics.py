"""The page of metrics: who may see it, and how it is made beside the hub.

Imported only where there is one: it needs prometheus_client.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from gunicorn_asgi.own_pages import make_response
from gunicorn_asgi.policy import Peers, read_peers
from wsgi_bridge.events.server import SERVER_METRICS_FAILED
from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.figures.prometheus import CONTENT_TYPE, render
from wsgi_bridge.layers.local_first import LocalFirstLayer
from wsgi_bridge.layers.memory import MemoryLayer
from wsgi_bridge.protocols.http import error_response
from wsgi_bridge.route_reports import load_snapshots, merge

if TYPE_CHECKING:
    from gunicorn_asgi.own_pages import Tell
    from gunicorn_asgi.request import Request
    from wsgi_bridge.figures import Figures, FiguresReporter
    from wsgi_bridge.layers.base import BaseLayer
    from wsgi_bridge.server.server import ProtocolServer

__all__ = ["MetricsPage", "may_see"]

logger = logging.getLogger(__name__)

# What a proxy adds. Whoever has these without an address to judge comes from anywhere.
FORWARDED = frozenset(
    (b"forwarded", b"via", b"x-real-ip", b"x-forwarded-host", b"x-forwarded-proto")
)


def may_see(peers: Peers, client: Any, headers: list[list[bytes]]) -> bool:
    """Whether a request is from one of ``peers``: its peer, and all for whom that speaks.

    A proxy on this machine is a peer of this machine, whoever asked it. So every address that it
    names must be allowed too; where it names none, but is seen to be one, nobody is.
    """
    if peers.is_everyone:
        return True
    names = {name.lower(): value for name, value in headers}
    forwarded = names.get(b"x-forwarded-for")
    if forwarded is None:
        return client is not None and peers.includes(client[0]) and not FORWARDED & names.keys()
    everybody = [value for name, value in headers if name.lower() == b"x-forwarded-for"]
    addresses = b",".join(everybody).decode("latin-1").split(",")
    # A Unix socket's peer is whoever may open it: a proxy.
    peer_is_allowed = client is None or peers.includes(client[0])
    return peer_is_allowed and all(peers.includes(address.strip()) for address in addresses)


class MetricsPage:
    """Answers with the figures of all processes, as of now.

    ``routes`` returns those of each route; asked in the reporter's thread, as the layer is.
    """

    def __init__(
        self,
        server: ProtocolServer,
        reporter: FiguresReporter,
        routes: Callable[[], Mapping[str, Any]] | None,
    ) -> None:
        self._server = server
        self._reporter = reporter
        self._routes = routes or partial(_load_routes, server.layer)
        self._peers = read_peers(server.settings.metrics_allow)

    def __call__(self, request: Request, client: Any, tell: Tell) -> None:
        """Answer a request, soon."""
        if may_see(self._peers, client, request.headers):
            self._reporter.ask(partial(self._answer, tell))
        else:
            tell(error_response(403, "metrics are for the addresses of metrics_allow"))

    # In the reporter's thread

    def _answer(self, tell: Tell, figures: Figures | None) -> None:
        try:
            response = self._render(figures) if figures is not None else _unavailable()
        except ChannelLayerUnavailable:
            response = _unavailable()
        except Exception as exc:
            # The top of what a thread was asked to do: somebody waits for an answer.
            SERVER_METRICS_FAILED.log(
                logger, "metrics cannot be shown: %(cause)s", cause=exc, exc_info=exc
            )
            response = error_response(500)
        self._server.loop.run_callback_threadsafe(tell, response)

    def _render(self, figures: Figures) -> dict[str, Any]:
        content = render(figures, self._routes(), _shared_queues(self._server.layer))
        return make_response(200, CONTENT_TYPE, content)


def _unavailable() -> dict[str, Any]:
    """Return what Prometheus takes for a scrape that failed, and not for counts that fell."""
    return error_response(503, "the channel layer is unavailable", [(b"Retry-After", b"1")])


def _load_routes(layer: BaseLayer) -> Mapping[str, Any]:
    return merge(load_snapshots(layer), layer)


def _shared_queues(layer: BaseLayer) -> Mapping[str, Any]:
    """Return the statistics of what processes share; each publishes those of its own queues."""
    shared = layer.shared if isinstance(layer, LocalFirstLayer) else layer
    return {} if isinstance(shared, MemoryLayer) else {**shared.global_statistics()}
