"""Requests whose client has gone, or goes with this process: whom that concerns is told."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from wsgi_bridge.exceptions import ChannelLayerError
from wsgi_bridge.server.wills import WILL_AFTER

if TYPE_CHECKING:
    from wsgi_bridge.server.request_body import RequestBody
    from wsgi_bridge.server.response_flow import ResponseFlow
    from wsgi_bridge.server.server import ProtocolServer

logger = logging.getLogger(__name__)


class Request(Protocol):
    """What is told, and logged, of a request."""

    method: str
    target: bytes
    started: float

    @property
    def path(self) -> str:
        """The path as in the message: percent-decoded."""


# Channels that others close should this process die: of the response's flow, and of the body.
Concerned = tuple[str | None, str | None]


def tell_gone(server: ProtocolServer, reply_channel: str, request: Request) -> None:
    """Say that a request's client has gone."""
    server.deliver_posts()  # the request goes before
    message = {"reply_channel": reply_channel, "path": request.path}
    try:
        server.layer.hand_over("http.disconnect", message)
    except ChannelLayerError as exc:
        logger.info("nobody heard that %s was left: %r", describe(request), exc)


def leave_will(
    server: ProtocolServer,
    reply_channel: str,
    request: Request,
    flow: ResponseFlow | None,
    body: RequestBody | None,
    left: Concerned | None,
) -> Concerned | None:
    """Have others tell, should this process die; return whom. ``left`` was returned before."""
    if server.clock() - request.started < WILL_AFTER:
        return left
    concerned = (
        None if flow is None else flow.channel,
        None if body is None or body.is_complete else body.channel,
    )
    if concerned != left:
        gone = {"reply_channel": reply_channel, "path": request.path}
        server.wills.leave_for_request(gone, *concerned)
    return concerned


def describe(request: Request | None) -> str:
    """Return what a log says of a request."""
    return "no request" if request is None else f"{request.method} {request.target[:200]!r}"
