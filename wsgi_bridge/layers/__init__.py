"""Channel layers, opened by URL.

    memory://            a new layer of this process; memory://NAME the one of that name
    ipc://NAME           the processes of this user on this machine; ipc:///path in that directory
    redis://HOST         many machines; also rediss, redis+unix, redis+sentinel, redis+cluster
    ?capacity=1000       options in the query string, for all of them

A layer's module is imported when its scheme is first used, so that none of them costs anything, or
needs a library, before that. To add one, add its line to `_LAYERS`.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from wsgi_bridge.exceptions import InvalidLayerURL
from wsgi_bridge.layers.base import (
    DEFAULT_CAPACITY,
    DEFAULT_EXPIRY,
    DEFAULT_GROUP_EXPIRY,
    DEFAULT_MAX_MESSAGE_SIZE,
    BaseLayer,
    ChannelCapacity,
)

__all__ = ["BaseLayer", "has_layer", "open_layer"]

#: Scheme of a URL → "module:class" of the layer.
_LAYERS = {
    "ipc": "wsgi_bridge.layers.ipc:IpcLayer",
    "memory": "wsgi_bridge.layers.memory:MemoryLayer",
    "redis": "wsgi_bridge.layers.redis:RedisLayer",
    "rediss": "wsgi_bridge.layers.redis:RedisLayer",
    "redis+unix": "wsgi_bridge.layers.redis:RedisLayer",
    "redis+sentinel": "wsgi_bridge.layers.redis:RedisLayer",
    "redis+cluster": "wsgi_bridge.layers.redis:RedisLayer",
}

#: Libraries of layers, each of which is an extra of the same name.
_EXTRAS = frozenset(("redis",))


def open_layer(
    url: str,
    *,
    expiry: float = DEFAULT_EXPIRY,
    group_expiry: float = DEFAULT_GROUP_EXPIRY,
    capacity: int = DEFAULT_CAPACITY,
    channel_capacity: ChannelCapacity | None = None,
    max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE,
    clock: Callable[[], float] = time.time,
    **options: Any,
) -> BaseLayer:
    """Open the channel layer that `url` names.

    The options are those of `BaseLayer`, and the layer's own. The same names in the query string of
    the URL go before the arguments: the URL belongs to whoever deploys the site. There,
    `channel_capacity` is written `GLOB:N,GLOB:N`. Does not block; a layer connects when it is first
    used. Raises InvalidLayerURL.
    """
    parts = urlsplit(url)
    layer_class = _layer_class(url, parts.scheme)
    options.update(
        expiry=expiry,
        group_expiry=group_expiry,
        capacity=capacity,
        channel_capacity=channel_capacity,
        max_message_size=max_message_size,
        clock=clock,
    )
    options.update(_url_options(parts, layer_class))
    return layer_class.from_url(parts, **options)


def has_layer(scheme: str) -> bool:
    """Whether this version has a layer for URLs of that scheme."""
    return scheme in _LAYERS


def _layer_class(url: str, scheme: str) -> type[BaseLayer]:
    if scheme not in _LAYERS:
        # The scheme only: the rest of a URL may hold a password.
        known = ", ".join(f"{name}://" for name in sorted(_LAYERS))
        raise InvalidLayerURL(f"unknown channel layer {scheme or url!r}: expected one of {known}")
    module, _, name = _LAYERS[scheme].partition(":")
    try:
        layer_class: type[BaseLayer] = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as exc:
        library = (exc.name or "").partition(".")[0]
        if library not in _EXTRAS:
            raise
        raise InvalidLayerURL(
            f"the layer {scheme}:// needs its library: pip install wsgi-bridge[{library}]"
        ) from exc
    return layer_class


def _url_options(parts: SplitResult, layer_class: type[BaseLayer]) -> dict[str, Any]:
    options = {}
    for name, text in parse_qsl(parts.query, keep_blank_values=True):
        if name not in layer_class.url_options:
            known = ", ".join(sorted(layer_class.url_options))
            raise InvalidLayerURL(f"unknown option {name!r} in the URL: expected one of {known}")
        try:
            options[name] = layer_class.url_options[name](text)
        except ValueError as exc:
            raise InvalidLayerURL(f"option {name}={text!r} in the URL: {exc}") from exc
    return options
