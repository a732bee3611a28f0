"""A server without consumers: what the environment says of it, and what it needs."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from gunicorn.errors import AppImportError

if TYPE_CHECKING:
    from wsgi_bridge.bridge import Bridge
    from wsgi_bridge.settings import Settings

NO_PROMETHEUS = (
    "metrics_path needs the package prometheus_client: pip install 'wsgi-bridge[metrics]', "
    "or leave it (ASGI_METRICS_PATH) out"
)
UNREACHABLE = (
    "consumers=none leaves the consumers to other processes, which need a layer that they can "
    "reach: set CHANNEL_LAYER to one such as ipc://mysite or redis://localhost"
)


def read_environment() -> Settings:
    """Return the settings that the environment alone makes. Raises ValueError."""
    from wsgi_bridge.settings import load_settings

    return load_settings({})


def check_environment() -> None:
    """Refuse, in the master, what the environment alone says that cannot work: RuntimeError."""
    try:
        settings = read_environment()
    except ValueError as exc:
        raise RuntimeError(exc) from exc
    if lacks_prometheus(settings):
        raise RuntimeError(NO_PROMETHEUS)
    if settings.consumers == "none" and not make_pure_server().has_reachable_layer:
        raise RuntimeError(UNREACHABLE)


def lacks_prometheus(settings: Settings) -> bool:
    """Whether a page of metrics is asked for and cannot be made."""
    return bool(settings.metrics_path) and find_spec("prometheus_client") is None


def make_pure_server() -> Bridge:
    """Return the Bridge of a process that has no site."""
    from wsgi_bridge.bridge import Bridge

    return Bridge(_no_site, consumers=None)


def _no_site(*_: object) -> list[bytes]:
    raise AssertionError("a server without consumers has no site")


def check_layer(bridge: Bridge) -> None:
    """Refuse a layer that cannot be, or one with which nobody would hear what is served.

    Raises AppImportError.
    """
    check_url(bridge)
    if lacks_prometheus(bridge.settings):
        raise AppImportError(NO_PROMETHEUS)
    if bridge.settings.consumers == "none" and not bridge.has_reachable_layer:
        raise AppImportError(UNREACHABLE)


def check_url(bridge: Bridge) -> None:
    """Refuse a layer that cannot be.

    Whether it can be reached is another question: the site is served meanwhile. For a worker: in
    the master it would import, unpatched, what the layer is made of. Raises AppImportError, which
    gunicorn prints before it ends; for any other it would start the next worker, and so on.
    """
    from wsgi_bridge.exceptions import InvalidLayerURL
    from wsgi_bridge.layers import open_layer

    try:
        if bridge.layer_url:
            open_layer(bridge.layer_url)
    except InvalidLayerURL as exc:
        raise AppImportError(f"no channel layer (CHANNEL_LAYER, or Bridge's layer): {exc}") from exc
