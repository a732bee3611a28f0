"""The settings of a Bridge: one typed table, which is also the documentation's source.

Each field has its default as a named constant above it, with unit, reason and precedent. A value
comes from, in this order: the environment (``ASGI_`` and the name in capitals), the keyword
argument of ``Bridge``, the default. This module reads ``os.environ`` only when asked to.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

ENVIRONMENT_PREFIX = "ASGI_"

#: The settings that name a page of the server's own.
PAGES = ("metrics_path", "live_path", "ready_path")
# What a request's target can be, without a query.
_match_path = re.compile(r"/[!$-;=@-Z_a-z~]*").fullmatch

# What a variable takes, for whoever deploys the site.
_WORDS = {bool: "true (1) or false (0)", int: "a whole number", float: "a number"}

SlowClientPolicy = Literal["drop", "close", "block"]
Consumers = Literal["local", "none"]

# Seconds for a request's head, from its first byte to its last. Apache's mod_reqtimeout gives 20 to
# 40, nginx's client_header_timeout 60; it is 8 KB at most.
HEAD_TIMEOUT = 10.0
# Seconds over which the rate of a request's body is measured. nginx's client_body_timeout.
BODY_TIMEOUT = 60.0
# Bytes a second. Kestrel's MinRequestBodyDataRate; a telephone on 2G has ten times as much.
MIN_BODY_RATE = 240
# Seconds over which it is measured how fast a client takes its response. nginx's send_timeout.
WRITE_TIMEOUT = 60.0
# Bytes a second; Kestrel's MinResponseDataRate.
MIN_WRITE_RATE = 240
# Requests that wait behind the one at work, on one connection. A kilobyte each, where one read of
# 64 KB could bring two thousand and a half. nginx and Go take one at a time.
MAX_PIPELINED = 16
# Connections from one address in one process; 0 for no limit. An office behind one address has
# hundreds, and a server behind a proxy sees one: a limit is the site's to choose (as in nginx).
MAX_CONNECTIONS_PER_ADDRESS = 0
# Seconds until the first response message. Browsers themselves give up at 300 s.
HTTP_TIMEOUT = 300.0
# Seconds for a consumer to answer the opening handshake. Daphne's websocket_connect_timeout is 20.
HANDSHAKE_TIMEOUT = 20.0
# Seconds for a TLS handshake, some round trips. nginx gives 60 for it and a request's head.
TLS_TIMEOUT = 10.0
# Seconds for a peer to answer our close frame. The websockets library waits 10, nginx lingers 5.
CLOSE_TIMEOUT = 5.0
# Seconds between two pings of a socket. The usual proxy (nginx's proxy_read_timeout, an AWS load
# balancer's idle time) closes what is silent for 60; Socket.IO pings every 25.
PING_INTERVAL = 25.0
# Seconds for a sign of life after a ping. Socket.IO and the websockets library wait 20.
PING_TIMEOUT = 20.0
# Frames a second from one socket; 0 for no limit. Messages are paced by their consumer anyway, one
# at a time, and a flood of frames has no more than its turn: a limit is the site's to choose.
MAX_FRAME_RATE = 0
# Seconds over which a server that stops closes its sockets. uvicorn closes all at once; a load
# balancer's deregistration delay is minutes. Ten thousand handshakes in three seconds are bearable.
CLOSE_WINDOW = 3.0
# Seconds that a stream of events goes on when its server stops, so that one which ends by itself,
# an answer that is written word by word say, may do so. nginx's worker_shutdown_timeout has none,
# uvicorn waits for ever.
STREAM_GRACE = 5.0
# Bytes of one WebSocket message, after decompression. The websockets library's max_size.
MAX_MESSAGE_SIZE = 1024 * 1024
# Bytes waiting for one client that does not read. uWSGI and nginx buffer less, Phoenix more.
WRITE_BUFFER = 1024 * 1024
# Bytes below which a message is sent uncompressed: deflating less costs more than it saves (as in
# npm's ws, whose threshold is the same).
COMPRESS_THRESHOLD = 1024

# Seconds between two reports of a process: how old the figures of others are. One is a write of
# 2 KB, and three reads; htop looks as often.
FIGURES_INTERVAL = 2.0
# Who may see a page that tells how busy a site is: this machine.
METRICS_ALLOW = ("127.0.0.0/8", "::1")


@dataclass(frozen=True)
class Settings:
    """What a site may say about its server.

    Times are float seconds, sizes int bytes. Raises ValueError from ``check_settings`` when a
    value is out of range, naming the setting and what it takes.
    """

    head_timeout: float = field(
        default=HEAD_TIMEOUT,
        metadata={
            "doc": "Seconds for a request's head, from its first byte on (a new connection's first "
            "request: from its opening); then 408. 0: no limit."
        },
    )
    body_timeout: float = field(
        default=BODY_TIMEOUT,
        metadata={
            "doc": "Seconds over which the rate of a request's body is measured, while somebody "
            "waits for it. 0: a client may take as long as it likes."
        },
    )
    min_body_rate: int = field(
        default=MIN_BODY_RATE,
        metadata={
            "doc": "Bytes a second that a request's body must bring, on the average of each "
            "`body_timeout`; else 408. 0: one byte in that time is enough."
        },
    )
    write_timeout: float = field(
        default=WRITE_TIMEOUT,
        metadata={
            "doc": "Seconds over which the rate is measured at which a client takes a response "
            "that waits for it. 0: it may take as long as it likes."
        },
    )
    min_write_rate: int = field(
        default=MIN_WRITE_RATE,
        metadata={
            "doc": "Bytes a second of a waiting response that its client must take, on the average "
            "of each `write_timeout`; else the connection is reset. 0: one byte is enough."
        },
    )
    max_pipelined: int = field(
        default=MAX_PIPELINED,
        metadata={
            "doc": "Requests that are read ahead of the one at work, on one connection, at least "
            "one. More wait unread until these are answered: 64 KB in the server, the rest in the "
            "kernel and then at the client."
        },
    )
    max_connections_per_address: int = field(
        default=MAX_CONNECTIONS_PER_ADDRESS,
        metadata={
            "doc": "Connections that one address (of IPv6, one /64) may have in one process; more "
            "are answered with 503 before they ask, and closed. Unix sockets and the proxies of "
            "`forwarded_allow_ips` are not counted. 0: no limit."
        },
    )
    http_timeout: float = field(
        default=HTTP_TIMEOUT,
        metadata={"doc": "Seconds until the first message of a response; then 504. 0: no limit."},
    )
    handshake_timeout: float = field(
        default=HANDSHAKE_TIMEOUT,
        metadata={"doc": "Seconds for a consumer to answer a WebSocket handshake; then 504."},
    )
    tls_timeout: float = field(
        default=TLS_TIMEOUT,
        metadata={"doc": "Seconds that a client has for its TLS handshake; then it is closed."},
    )
    close_timeout: float = field(
        default=CLOSE_TIMEOUT,
        metadata={"doc": "Seconds that a peer has to answer a close frame."},
    )
    ping_interval: float = field(
        default=PING_INTERVAL,
        metadata={
            "doc": "Seconds between two pings of a WebSocket, so that proxies keep idle ones open. "
            "0: none."
        },
    )
    ping_timeout: float = field(
        default=PING_TIMEOUT,
        metadata={
            "doc": "Seconds that a peer has to give a sign, a pong or anything else, after a ping; "
            "then it is gone: 1006. 0: no limit."
        },
    )
    max_frame_rate: int = field(
        default=MAX_FRAME_RATE,
        metadata={
            "doc": "Frames a second from one WebSocket, of all kinds. A socket that sends more is "
            "read more slowly; five seconds' worth may come at once. 0: no limit."
        },
    )
    close_window: float = field(
        default=CLOSE_WINDOW,
        metadata={
            "doc": "Seconds over which a server that stops or reloads closes its WebSockets, in "
            "random order, 200 a second at least; half of the time there is at most. 0: at once."
        },
    )
    stream_grace: float = field(
        default=STREAM_GRACE,
        metadata={
            "doc": "Seconds that server-sent events go on when their server stops or reloads; then "
            "they are cut, as sockets are closed within `close_window`, and clients come back. "
            "Half of the time there is at most. Other responses have all of it. 0: at once."
        },
    )
    max_message_size: int = field(
        default=MAX_MESSAGE_SIZE,
        metadata={"doc": "Bytes of one incoming WebSocket message; past it 1009."},
    )
    write_buffer: int = field(
        default=WRITE_BUFFER,
        metadata={
            "doc": "Bytes that may wait for a client that does not read. A streamed response is "
            "held back there; a WebSocket follows `slow_client`."
        },
    )
    slow_client: SlowClientPolicy = field(
        default="close",
        metadata={
            "doc": "What becomes of a message for a WebSocket whose write buffer is full: "
            "`drop` the message, `close` the socket with 1013, or `block` (hold the message back, "
            "up to four times the buffer, then close)."
        },
    )
    allowed_origins: tuple[str, ...] = field(
        default=(),
        metadata={
            "doc": "Origins, beside the site's own, that may open WebSockets, such as "
            "`https://app.example.com`; `*` allows all. Requests without an Origin are allowed: "
            "they do not come from a browser's page."
        },
    )
    compression: bool = field(
        default=True,
        metadata={"doc": "Offer permessage-deflate, without context takeover."},
    )
    compress_threshold: int = field(
        default=COMPRESS_THRESHOLD,
        metadata={"doc": "Bytes below which a WebSocket message is sent uncompressed."},
    )
    pool_size: int = field(
        default=0,
        metadata={
            "doc": "Consumers that may run at once in one process, in greenlets. 0: as many as "
            "`worker_connections`. With `--threads` there are as many as threads."
        },
    )
    consumers: Consumers = field(
        default="local",
        metadata={
            "doc": "Where consumers run: `local`, in the server's process, or `none` (also None): "
            "elsewhere, with `wsgi-bridge worker`. A server without consumers needs a layer that "
            "others reach (`CHANNEL_LAYER`); told so by the environment it never imports the site."
        },
    )
    figures_interval: float = field(
        default=FIGURES_INTERVAL,
        metadata={
            "doc": "Seconds between two reports by which a process publishes what it counts to the "
            "others, and to `wsgi-bridge top`. 0: none."
        },
    )
    metrics_path: str = field(
        default="",
        metadata={
            "doc": "Path of a page for Prometheus, such as `/metrics`, over all processes; needs "
            "the extra `metrics`. Empty: none."
        },
    )
    metrics_allow: tuple[str, ...] = field(
        default=METRICS_ALLOW,
        metadata={
            "doc": "Addresses and networks that may see `metrics_path`, such as `10.0.0.0/8`; `*` "
            "for all. Others get 403, and so does whoever a proxy that is allowed forwards for."
        },
    )
    live_path: str = field(
        default="",
        metadata={
            "doc": "Path at which a server answers 200 as long as it is not stuck, for a liveness "
            "probe. Anybody may ask. Empty: none."
        },
    )
    ready_path: str = field(
        default="",
        metadata={
            "doc": "Path at which a server answers 200, and 503 while it stops or its layer is "
            "unavailable, for a readiness probe. Anybody may ask. Empty: none."
        },
    )
    servers: int = field(
        default=0,
        metadata={
            "doc": "Workers of `gunicorn_asgi.SplitWorker` that hold sockets; the others run "
            "consumers. Read in the master, so from the environment only. 0: one in four, at least "
            "one."
        },
    )


def load_settings(given: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings made of keyword arguments and the environment.

    ``given`` maps names to values; ``environ`` is ``os.environ`` unless given. Raises TypeError
    for an unknown name, ValueError for a bad value. Does not block.
    """
    environ = os.environ if environ is None else environ
    known = {item.name: item for item in fields(Settings)}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise TypeError(f"unknown setting {unknown[0]!r}; known are: {', '.join(sorted(known))}")
    values = dict(given)
    for name, item in known.items():
        text = environ.get(ENVIRONMENT_PREFIX + name.upper())
        if text is not None:
            values[name] = _parse(name, text, item.default)
    if "consumers" in values and values["consumers"] is None:
        values["consumers"] = "none"
    origins = values.get("allowed_origins", ())
    values["allowed_origins"] = (origins,) if isinstance(origins, str) else tuple(origins)
    networks = values.get("metrics_allow", METRICS_ALLOW)
    values["metrics_allow"] = (networks,) if isinstance(networks, str) else tuple(networks)
    settings = Settings(**values)
    check_settings(settings)
    return settings


def check_settings(settings: Settings) -> None:
    """Raise ValueError for a value out of range, TypeError for one of the wrong type."""
    for item in fields(Settings):
        value = getattr(settings, item.name)
        if isinstance(item.default, bool):
            _check(item.name, isinstance(value, bool), "True or False", value)
        elif isinstance(item.default, int):
            _check(item.name, type(value) is int and value >= 0, "an int of 0 or more", value)
        elif isinstance(item.default, float):
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            _check(item.name, number and value >= 0, "seconds, 0 or more", value)
    for name, kind in (("slow_client", SlowClientPolicy), ("consumers", Consumers)):
        words, value = get_args(kind), getattr(settings, name)
        _check(name, value in words, " or ".join(words), value)
    for origin in settings.allowed_origins:
        known = isinstance(origin, str) and (origin == "*" or "://" in origin)
        _check("allowed_origins", known, "strings like 'https://example.com' or '*'", origin)
    _check_pages(settings)


def _check_pages(settings: Settings) -> None:
    paths = [name for name in PAGES if getattr(settings, name)]
    for name in paths:
        path = getattr(settings, name)
        is_path = isinstance(path, str) and _match_path(path) is not None
        _check(name, is_path, "a path like '/metrics'", path)
    distinct = {getattr(settings, name) for name in paths}
    _check(" and ".join(paths), len(distinct) == len(paths), "a path each", sorted(distinct))
    for network in settings.metrics_allow:
        _check("metrics_allow", _is_network(network), "networks like '10.0.0.0/8' or '*'", network)
    has_figures = settings.figures_interval > 0 or not settings.metrics_path
    _check("figures_interval", has_figures, "more than 0 with metrics_path", 0)


def _is_network(network: object) -> bool:
    if network == "*":
        return True
    try:
        ipaddress.ip_network(network, strict=False)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return isinstance(network, str)


def _check(name: str, is_right: bool, expected: str, value: object) -> None:
    if not is_right:
        raise ValueError(f"setting {name} takes {expected}, not {value!r}")


def _parse(name: str, text: str, default: object) -> object:
    variable = ENVIRONMENT_PREFIX + name.upper()
    try:
        if isinstance(default, bool):
            return {"1": True, "true": True, "0": False, "false": False}[text.lower()]
        if isinstance(default, (int, float)):
            return type(default)(text)
    except (KeyError, ValueError):
        expected = _WORDS[type(default)]
        raise ValueError(f"environment variable {variable} is {text!r}, not {expected}") from None
    if isinstance(default, tuple):
        return tuple(item.strip() for item in text.split(",") if item.strip())
    return text
