"""The lines that a site's uWSGI configuration includes, each explained.

Guards (``if-not-opt``) leave alone what the site says itself. They see only what stands before
them. What cannot work all the same is refused at the start: see `checks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from uwsgi_asgi.options import Options
from uwsgi_asgi.stats import metric_options
from wsgi_bridge.bridge import LAYER_VARIABLE

__all__ = ["make_fragment"]

HERE = Path(__file__).resolve().parent
# Bytes of a request's head. uWSGI's own 4096 are few for a handshake with the cookies of a site.
BUFFER_SIZE = 16384
# Bytes of one chunk of a body, which uWSGI keeps whole; a body may have any number of them. Some
# clients send a file as one, and uWSGI's own limit is a megabyte.
CHUNK_LIMIT = 16 * 1024 * 1024
# Connections that wait for a worker; uWSGI's own 100 are few for all sockets of a site.
BACKLOG = 1024

_HEAD = """\
; Printed by `python -m uwsgi_asgi.config`: WebSockets, push and consumers beside a WSGI site.
; To be included last: the guards below see only what stands before them.
[uwsgi]
"""

# What the site's own lines may lack: the option, its value, and why.
_NEEDS = (
    ("master", "true", "Mules are started, and started anew when they die, by the master."),
    (
        "enable-threads",
        "true",
        "Consumers run in threads, which before uWSGI 2.0.31 stand still unless told.",
    ),
    (
        "single-interpreter",
        "true",
        "What hands connections over is found by all apps only if they share an interpreter.",
    ),
    (
        "buffer-size",
        str(BUFFER_SIZE),
        "The head of a request: a handshake brings all cookies, and 4096 bytes are few.",
    ),
    (
        "chunked-input-limit",
        str(CHUNK_LIMIT),
        "One chunk of a body: a client that sends a file as one is refused at 1 MB.",
    ),
)
_ROUTERS = ("http", "https")


def make_fragment(
    options: Options,
    *,
    layer: str = "",
    prefixes: Sequence[str] = (),
) -> str:
    """Return the text."""
    parts = [_HEAD, *_needs(), *_surroundings(options, layer), *_mules(options)]
    if prefixes:
        parts.append(_mounts(prefixes))
    return "\n".join(parts)


def _needs() -> Iterator[str]:
    if backlog := find_backlog():
        yield _explain(
            "After a reload all sockets come back at once: who finds no room waits a second.",
            *("if-not-opt = listen", f"listen = {backlog}", "endif ="),
        )
    for name, value, reason in _NEEDS:
        yield _explain(reason, f"if-not-opt = {name}", f"{name} = {value}", "endif =")
    # gevent's own hooks would fail: uWSGI does not call those before a fork.
    yield _explain(
        "What was opened before a fork, such as a channel layer, is opened anew behind it.",
        *("if-not-opt = gevent-early-monkey-patch", "py-call-osafterfork = true", "endif ="),
    )
    for router in _ROUTERS:
        yield _explain(
            f"uWSGI's {router} router forwards frames and chunked bodies only if told so.",
            f"if-opt = {router}",
            "http-websockets = true",
            "http-chunked-input = true",
            "endif =",
        )


def find_backlog(path: str = "/proc/sys/net/core/somaxconn") -> int:
    """Return how many connections may wait for a worker; 0 if that cannot be known.

    With more than the system allows uWSGI would not start.
    """
    try:
        return min(BACKLOG, int(Path(path).read_text()))
    except (OSError, ValueError):
        return 0


def _surroundings(options: Options, layer: str) -> Iterator[str]:
    lines = [f"env = {name}={value}" for name, value in options.variables().items()]
    yield _explain("What the processes are told; empty is the default.", *lines)
    if layer:
        yield _explain(
            "The channel layer that workers, mules and other programs of the site share.",
            f"env = {LAYER_VARIABLE}={layer}",
        )
    yield _explain(
        "uWSGI's stats server shows what mules count as well, where there is one.",
        *("if-opt = stats", "enable-metrics = true", *metric_options(), "endif ="),
    )
    yield _explain(
        "In the master, once: makes what workers and mules share, and checks the configuration.",
        "shared-import = uwsgi_asgi.master",
    )


def _mules(options: Options) -> Iterator[str]:
    yield _explain(
        "Holds the sockets: takes connections from the workers, never runs the site's code.",
        *[f"mule = {HERE / 'mules' / 'terminator.py'}"] * options.terminators,
    )
    if options.consumers:
        yield _explain(
            "Runs the site's consumers, and those of its pages that are handed over.",
            *[f"mule = {HERE / 'mules' / 'consumer.py'}"] * options.consumers,
        )


def _mounts(prefixes: Sequence[str]) -> str:
    return _explain(
        "Hands over what is asked for under these prefixes; the site's module stays as it is.",
        "manage-script-name = true",
        *(f"mount = {prefix}={HERE / 'mount.py'}" for prefix in prefixes),
    )


def _explain(reason: str, *lines: str) -> str:
    return "\n".join([f"; {reason}", *lines, ""])
