"""The bridge: an `http.request` message, run through a WSGI app, is answered on its reply channel.

It is not a server and not a worker loop: whoever received the message calls ``run_wsgi`` in a
greenlet or thread that may block. Rules kept here:

- whatever the app does, the request gets exactly one answer, complete or visibly broken off, or
  none when the app took the connection for itself (the hijack convention)
- ``close()`` of the app iterable is always called, and last (PEP 3333, "Specification Details")
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from wsgi_bridge.events.consumers import (
    APP_CLOSE_FAILED,
    APP_FAILED,
    APP_LAYER_UNAVAILABLE,
    APP_NOT_ANSWERED,
)
from wsgi_bridge.exceptions import ChannelLayerError, ChannelLayerUnavailable, RequestAborted
from wsgi_bridge.wsgi_environ import Environ, make_environ
from wsgi_bridge.wsgi_input import ChunkedInput, open_input
from wsgi_bridge.wsgi_reply import STALL_TIMEOUT, Reply
from wsgi_bridge.wsgi_response import Response

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer
    from wsgi_bridge.outgoing import Outgoing

logger = logging.getLogger(__name__)

WsgiApp = Callable[[Environ, Callable[..., Callable[[bytes], None]]], Iterable[bytes]]

# Bytes of a response that is collected whole: what a refused WebSocket handshake may carry.
COLLECT_LIMIT = 1024 * 1024
# With a 503: the layer may be back in seconds, as a Redis that is started again.
RETRY_AFTER = ((b"Retry-After", b"1"),)


def run_wsgi(
    app: WsgiApp,
    message: Mapping[str, Any],
    layer: BaseLayer,
    *,
    multithread: bool,
    multiprocess: bool,
    server_software: str,
    extra_environ: Mapping[str, object] | None = None,
    errors: object | None = None,
    hijacked: Callable[[], bool] | None = None,
    stall_timeout: float = STALL_TIMEOUT,
    outgoing: Outgoing | None = None,
) -> bool:
    """Run a WSGI app for one ``http.request`` message and answer it; whether that went well.

    It did not when the app let out an exception, or answered with a status of 500 or more.

    ``extra_environ`` is added to the environ last; ``errors`` becomes ``wsgi.errors``
    (``sys.stderr`` unless given); ``hijacked`` says, when the app has ended, that it took the
    connection for itself: then nothing is sent, and nothing it raised is logged. ``stall_timeout``
    is how many seconds the server may be silent while the app waits for it. A response of one
    message may wait in ``outgoing`` for others.

    Blocks as long as the app runs and the client reads. What the app raises, SystemExit too, is
    logged and answered; only other exceptions that are no Exception (KeyboardInterrupt, greenlet
    exits) are raised again, after the answer.
    """
    reply = Reply(layer, message["reply_channel"], stall_timeout, outgoing)
    stream = open_input(message, layer, reply.post, stall_timeout)
    environ = make_environ(
        message,
        stream,
        multithread=multithread,
        multiprocess=multiprocess,
        server_software=server_software,
        errors=errors,
    )
    if extra_environ:
        environ.update(extra_environ)
    response = Response(reply, message["method"], message["path"], hijacked)
    environ["wsgi.early_hints"] = response.send_early_hints
    _serve(app, environ, response)
    if type(stream) is ChunkedInput:
        # A layer that is gone keeps nothing either.
        with contextlib.suppress(ChannelLayerError):
            stream.discard()
    return response.status < 500


def collect_response(
    app: WsgiApp,
    environ: Environ,
    *,
    min_status: int = 0,
    hijacked: Callable[[], bool] | None = None,
) -> tuple[int, list[list[bytes]], bytes]:
    """Run a WSGI app and return its response: status, headers, content.

    For a response that goes somewhere else than to a reply channel, such as the refusal of a
    WebSocket handshake. An app that fails makes a 500; content past COLLECT_LIMIT is left out, with
    its Content-Length, and so is that of a status below ``min_status``, which is not even waited
    for; the status is 0 when ``hijacked`` says that the app took the connection.
    Blocks as long as the app runs; raises as ``run_wsgi`` does.
    """
    collector = _Collector(min_status)
    response = Response(collector, environ["REQUEST_METHOD"], environ["PATH_INFO"], hijacked)
    _serve(app, environ, response)
    if response.is_hijacked():
        return 0, [], b""
    return collector.status, collector.headers, b"".join(collector.blocks)


def _serve(app: WsgiApp, environ: Environ, response: Response) -> None:
    """Run the app, send its response, close its iterable."""
    iterable: Iterable[bytes] = ()
    try:
        iterable = app(environ, response.start_response)
        if response.hijacked is None or not response.is_hijacked():
            response.send_iterable(iterable)
    except RequestAborted as exc:
        logger.info("%s %r: %s", environ["REQUEST_METHOD"], environ["PATH_INFO"], exc)
        _answer(response.break_off, environ)
    except ChannelLayerUnavailable as exc:
        APP_LAYER_UNAVAILABLE.log(
            logger, "%(method)s %(path)r: %(cause)s", cause=exc, **_named(environ)
        )
        _answer(partial(response.fail, 503, RETRY_AFTER), environ)
    except BaseException as exc:
        if not response.is_hijacked():
            APP_FAILED.log(
                logger,
                "the app failed at %(method)s %(path)r",
                cause=exc,
                exc_info=True,
                **_named(environ),
            )
            _answer(response.fail, environ)
        if not isinstance(exc, (Exception, SystemExit)):
            raise
    finally:
        # A list has none; asking it costs more than asking what it is.
        if type(iterable) is not list and hasattr(iterable, "close"):
            _close(iterable.close, environ)


def _named(environ: Environ) -> dict[str, str]:
    return {"method": environ["REQUEST_METHOD"], "path": environ["PATH_INFO"]}


def _answer(answer: Callable[[], None], environ: Environ) -> None:
    """Answer for an app that has ended; when that cannot be done there is nothing left to do."""
    try:
        answer()
    except (ChannelLayerError, RequestAborted) as exc:
        APP_NOT_ANSWERED.log(
            logger, "no answer to %(method)s %(path)r: %(cause)r", cause=exc, **_named(environ)
        )


def _close(close: Callable[[], object], environ: Environ) -> None:
    try:
        close()
    except (Exception, SystemExit) as exc:
        APP_CLOSE_FAILED.log(
            logger,
            "close() of the app iterable failed at %(method)s %(path)r",
            cause=exc,
            exc_info=True,
            **_named(environ),
        )


class _Collector:
    """A sink that keeps the response, up to COLLECT_LIMIT bytes of content."""

    def __init__(self, min_status: int) -> None:
        self.status = 500  # of an app that has nobody to answer
        self._min_status = min_status
        self.headers: list[list[bytes]] = []
        self.blocks: list[bytes] = []
        self._size = 0

    def send(self, message: dict[str, Any]) -> None:
        """Keep one message. Raises RequestAborted past the limit."""
        if "status" in message:
            self.status, self.headers = message["status"], message["headers"]
        self._size += len(message["content"])
        if self._size > COLLECT_LIMIT or self.status < self._min_status:
            self.blocks.clear()
            self.break_off()
            raise RequestAborted(f"content past {COLLECT_LIMIT} bytes, or not wanted, is left out")
        self.blocks.append(message["content"])

    def hint(self, headers: list[list[bytes]]) -> None:
        """A handshake that is refused has no early hints."""

    def break_off(self) -> None:
        """Forget the Content-Length, which the content does not have."""
        self.headers = [field for field in self.headers if field[0].lower() != b"content-length"]
