"""The hand-over in a worker: a connection is put in the queue, and the worker is free again.

A worker of any kind (processes, threads, gevent) does the same, within a millisecond:

- what asks for a WebSocket is checked; what cannot be one is answered here, by the site's server
- of a plain request the body is read first: uWSGI has the beginning of it already
- the descriptor goes into the queue, where a terminator takes it
- /dev/null takes its place: uWSGI reads on from a descriptor of its http11-socket, and would steal
  frames, and it writes its own answer to whatever there is
- the answer that uWSGI is given is one for its log
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgpack

from uwsgi_asgi.body import read_body, serve_chunks
from uwsgi_asgi.events import HANDOFF_FULL
from uwsgi_asgi.message import BadRequest, check_framing, to_message
from uwsgi_asgi.options import QUEUE_VARIABLE, load_options
from uwsgi_asgi.queue import ConnectionQueue
from wsgi_bridge.protocols.handshake import HandshakeError, read_handshake

if TYPE_CHECKING:
    from wsgi_bridge.bridge import Bridge

__all__ = ["HTTP", "WEBSOCKET", "HandOff", "hand_off_of_bridge"]

logger = logging.getLogger(__name__)

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]

#: The kinds of what is handed over.
WEBSOCKET = "websocket"
HTTP = "http"

HTTP_REQUEST = "http.request"
_PHRASES = {
    400: "400 Bad Request",
    405: "405 Method Not Allowed",
    426: "426 Upgrade Required",
    431: "431 Request Header Fields Too Large",
    501: "501 Not Implemented",
    503: "503 Service Unavailable",
}
RETRY_AFTER = ("Retry-After", "1")


class HandOff:
    """A WSGI middleware that hands WebSockets over, and leaves everything else to ``app``.

        application = HandOff(get_wsgi_application())

    For a site whose callable is no Bridge; a Bridge does this by itself. ``paths``: prefixes of the
    paths whose WebSockets are handed over, all of them unless given. ``http``: prefixes of those
    whose plain requests are, beside those of the fragment's `--http`. Under another server than
    uWSGI, and without the fragment, everything is left to ``app``.
    """

    def __init__(
        self, app: WsgiApp, *, paths: str | Iterable[str] = "", http: str | Iterable[str] = ()
    ) -> None:
        self.app = app
        self._paths = (paths,) if isinstance(paths, str) else tuple(paths)
        self._http = (http,) if isinstance(http, str) else tuple(http)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request."""
        worker = find_worker()
        if worker is None:
            return self.app(environ, start_response)
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        if "HTTP_UPGRADE" in environ and asks_for_websocket(environ):
            if path.startswith(self._paths):
                return hand_websocket_off(worker.queue, environ, start_response)
        elif path.startswith(self._http + worker.http):
            return hand_request_off(worker.queue, environ, start_response)
        return leave(self.app, environ, start_response)


def hand_off_of_bridge(
    bridge: Bridge, environ: Environ, start_response: StartResponse
) -> Iterable[bytes] | None:
    """Hand over what a Bridge is to serve in its place; None to leave it to the Bridge.

    That is what it has a route for, and the plain requests of the fragment's `--http`.
    """
    worker = find_worker()
    if worker is None:
        return None
    router = bridge.router
    if "HTTP_UPGRADE" in environ and asks_for_websocket(environ):
        if router.accepts_websocket(to_message(environ, is_websocket=True)):
            return hand_websocket_off(worker.queue, environ, start_response)
        return None
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    if path.startswith(worker.http) or (
        HTTP_REQUEST in router.channels
        and router.match(HTTP_REQUEST, to_message(environ, is_websocket=False)) is not None
    ):
        return hand_request_off(worker.queue, environ, start_response)
    if "HTTP_TRANSFER_ENCODING" in environ:
        return leave(bridge.app, environ, start_response)
    return None


def asks_for_websocket(environ: Environ) -> bool:
    """Whether a request asks for an upgrade to WebSocket."""
    return bool(environ["HTTP_UPGRADE"].lower() == "websocket")


def hand_websocket_off(
    queue: ConnectionQueue,
    environ: Environ,
    start_response: StartResponse,
    *,
    has_root: bool = True,
) -> Iterable[bytes]:
    """Hand the connection of an opening handshake over, or answer it."""
    message = to_message(environ, is_websocket=True, has_root=has_root)
    try:
        check_framing(environ)
        read_handshake(message["method"], message["http_version"], message["headers"], False)
        if not hand_over(queue, WEBSOCKET, message):
            return refuse(start_response, 503, "no terminator takes it", [RETRY_AFTER])
    except HandshakeError as exc:
        headers = [(name.decode(), value.decode()) for name, value in exc.headers]
        return refuse(start_response, exc.status, str(exc), headers)
    except BadRequest as exc:
        return refuse(start_response, exc.status, str(exc))
    start_response("101 Switching Protocols", [])
    return []


def hand_request_off(
    queue: ConnectionQueue,
    environ: Environ,
    start_response: StartResponse,
    *,
    has_root: bool = True,
) -> Iterable[bytes]:
    """Hand the connection of a plain request over, when its body is there, or answer it."""
    message = to_message(environ, is_websocket=False, has_root=has_root)
    try:
        check_framing(environ)
        message["body"], file = read_body(environ)
        with file or nullcontext():
            files = () if file is None else (file.fileno(),)
            if not hand_over(queue, HTTP, message, files):
                return refuse(start_response, 503, "no terminator takes it", [RETRY_AFTER])
    except BadRequest as exc:
        return refuse(start_response, exc.status, str(exc))
    # For uWSGI's log: what the answer is will be known later, and elsewhere.
    start_response("202 Accepted", [])
    return []


def leave(app: WsgiApp, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Leave a request to the site: with a body that it can read, if there is one."""
    if "HTTP_TRANSFER_ENCODING" in environ:
        try:
            check_framing(environ)
        except BadRequest as exc:
            return refuse(start_response, exc.status, str(exc))
        serve_chunks(environ)
    return app(environ, start_response)


def hand_over(
    queue: ConnectionQueue, kind: str, message: dict[str, Any], files: Sequence[int] = ()
) -> bool:
    """Give the connection of the present request away; False if nobody takes it now.

    Raises BadRequest for a head that is too large.
    """
    import uwsgi

    descriptor = uwsgi.connection_fd()
    try:
        if not queue.put(msgpack.packb([kind, message]), [descriptor, *files]):
            HANDOFF_FULL.log(
                logger,
                "the queue of the terminators is full: %(path)s is refused",
                cause="queue full",
                path=message["path"],
            )
            return False
    except ValueError as exc:
        raise BadRequest(str(exc), 431) from exc
    _forget(descriptor)
    return True


def refuse(
    start_response: StartResponse,
    status: int,
    reason: str,
    headers: Iterable[tuple[str, str]] = (),
) -> list[bytes]:
    """Answer with a status of the server's own."""
    phrase = _PHRASES.get(status, f"{status} Error")
    content = f"{phrase}\n{reason}\n".encode()
    fields = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(content)))]
    start_response(phrase, [*fields, *headers])
    return [content]


@dataclass(frozen=True)
class Worker:
    """What a worker of uWSGI needs to know. ``http``: prefixes of what is handed over."""

    queue: ConnectionQueue
    http: tuple[str, ...] = ()


# That of this process, looked for once; None: it is no worker of uWSGI.
_found: list[Worker | None] = []


def find_worker() -> Worker | None:
    """Return what the master has prepared; None under any other server."""
    if not _found:
        text = os.environ.get(QUEUE_VARIABLE)
        queue = ConnectionQueue.find(text) if text else None
        _found.append(None if queue is None else Worker(queue, load_options().prefixes))
    return _found[0]


def _forget(descriptor: int) -> None:
    """Have uWSGI read from, write to and close something else."""
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.dup2(nothing, descriptor, inheritable=False)
    finally:
        os.close(nothing)
