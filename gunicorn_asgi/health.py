"""Liveness and readiness: what an orchestrator asks. Answered in the hub, without the layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gunicorn_asgi.own_pages import make_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from gunicorn_asgi.own_pages import Page, Tell
    from gunicorn_asgi.request import Request
    from wsgi_bridge.server.server import ProtocolServer

__all__ = ["answer_live", "make_ready_page"]


def answer_live(request: Request, client: Any, tell: Tell) -> None:  # noqa: ARG001
    """Say that the hub turns: as long as it does, this is answered."""
    tell(_page(200, b"live\n"))


def make_ready_page(server: ProtocolServer, has_layer: Callable[[], bool]) -> Page:
    """Return the page that says whether this process should be sent requests."""

    def answer(request: Request, client: Any, tell: Tell) -> None:  # noqa: ARG001
        if server.is_stopping:
            tell(_page(503, b"stopping\n"))
        elif not has_layer():
            tell(_page(503, b"the channel layer is unavailable\n"))
        else:
            tell(_page(200, b"ready\n"))

    return answer


def _page(status: int, content: bytes) -> dict[str, Any]:
    return make_response(status, b"text/plain; charset=utf-8", content)
