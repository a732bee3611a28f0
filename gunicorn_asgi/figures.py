"""How a worker of gunicorn publishes its figures; see `wsgi_bridge.figures`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gunicorn_asgi.layer import find_sibling_url
from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.figures import FiguresReporter, load_figures
from wsgi_bridge.figures.ledger import keeps_figures
from wsgi_bridge.figures.taking import take_all
from wsgi_bridge.layers import open_layer

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsgi_bridge.layers.base import BaseLayer
    from wsgi_bridge.server.server import ProtocolServer
    from wsgi_bridge.worker import Worker as ConsumerLoop

__all__ = ["make_reporter"]


def make_reporter(
    worker: Any,
    layer: BaseLayer,
    *,
    every: float,
    server: ProtocolServer | None = None,
    loop: ConsumerLoop | None = None,
    running: Callable[[], int] = int,
) -> FiguresReporter:
    """Return what publishes the figures of a worker of gunicorn.

    ``every``: the setting `figures_interval`. ``server`` and ``loop`` are what it has of the two;
    ``running`` counts consumers at work.
    """
    role = "both" if server and loop else "server" if server else "consumers"

    def take() -> Any:
        return take_all(layer, server=server, worker=loop, running=running())

    other = _open_siblings(worker) if every and not keeps_figures(layer) else None
    return FiguresReporter(layer, take, role=role, every=every, other=other)


def _open_siblings(worker: Any) -> BaseLayer | None:
    """Open the layer of this gunicorn's own, for a worker whose layer is not shared."""
    url = find_sibling_url(worker.ppid, is_first=worker.age == 1)
    if not url:
        return None
    layer = open_layer(url)
    try:
        load_figures(layer)  # so that its files are open, and counted
    except ChannelLayerUnavailable as exc:
        worker.log.info("the figures of this worker are not published: %s", exc)
        layer.close()
        return None
    return layer
