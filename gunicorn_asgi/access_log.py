"""The access log in gunicorn's format, for requests and for WebSockets.

gunicorn's ``Logger.access`` wants a response, a request and an environ; small objects stand in for
them, made only when a line is going to be written.
"""

from __future__ import annotations

import http
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gunicorn_asgi.request import Request


class _Response:
    """What the log's atoms read of a response."""

    __slots__ = ("headers", "sent", "status")

    def __init__(self, status: int, headers: list[tuple[str, str]], sent: int) -> None:
        try:
            phrase = http.HTTPStatus(status).phrase
        except ValueError:
            phrase = ""
        self.status = f"{status} {phrase}"
        self.headers = headers
        self.sent = sent


class _Duration:
    """A time span with whole seconds in ``seconds``: a timedelta's wrap after a day."""

    __slots__ = ("microseconds", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = int(seconds)
        self.microseconds = int((seconds - self.seconds) * 1_000_000)

    def total_seconds(self) -> float:
        """As of a timedelta: statsd's logger asks."""
        return self.seconds + self.microseconds / 1_000_000


Address = Sequence[Any] | None


def open_access_log(log: Any, cfg: Any) -> Callable[..., None] | None:
    """Return what writes access lines, or None when nobody reads them: they cost 100 µs each."""
    is_enabled = getattr(log, "access_log_enabled", True)  # gunicorn 25.1 and later
    if not is_enabled and not cfg.statsd_host:
        return None

    def write(
        entry: tuple[Request, Address],
        status: int,
        headers: Iterable[Sequence[bytes]],
        sent: int,
        seconds: float,
    ) -> None:
        request, client = entry
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
        environ = _environ(request, client)
        log.access(_Response(status, fields, sent), _fields(request), environ, _Duration(seconds))

    return write


def _fields(request: Request) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers]


def _environ(request: Request, client: Address) -> dict[str, str]:
    target = request.target.decode("latin-1")
    path, _, query = target.partition("?")
    environ = {
        "REQUEST_METHOD": request.method,
        "RAW_URI": target,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": f"HTTP/{request.version}",
        "REMOTE_ADDR": client[0] if client else "",
    }
    for name, value in _fields(request):
        environ["HTTP_" + name.upper().replace("-", "_")] = value
    return environ
