"""gunicorn's hooks around a request, ``pre_request`` and ``post_request``.

They are user code, so that they run where the site's app does: in a consumer's greenlet or thread,
in the process that runs it, and around requests of the site only. gunicorn's own defaults, which do
nothing but write to a debug log, are not called, and cost nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gunicorn_asgi.events import HTTP_HOOK_FAILED
from wsgi_bridge.wsgi import WsgiApp

logger = logging.getLogger(__name__)


def add_hooks(app: WsgiApp, cfg: Any, worker: Any) -> WsgiApp:
    """Return ``app`` with the hooks of a configuration around it; itself when there are none."""
    before, after = (_given(cfg, name) for name in ("pre_request", "post_request"))
    return HookedApp(app, worker, before, after) if before or after else app


def _given(cfg: Any, name: str) -> Callable[..., object] | None:
    setting = cfg.settings[name]
    hook: Callable[..., object] = setting.get()
    return None if hook is type(setting)().get() else hook


class HookRequest:
    """What a hook may ask of a request: what gunicorn's own has, made from the environ."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self.method: str = environ["REQUEST_METHOD"]
        self.uri: str = environ["RAW_URI"]
        self.path, _, self.query = self.uri.partition("?")
        self.scheme: str = environ["wsgi.url_scheme"]
        self.remote_addr = environ["REMOTE_ADDR"], int(environ.get("REMOTE_PORT", 0))
        self.version = tuple(map(int, environ["SERVER_PROTOCOL"].removeprefix("HTTP/").split(".")))
        self.headers = [
            (name.removeprefix("HTTP_").replace("_", "-"), value)
            for name, value in environ.items()
            if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
        ]


class HookResponse:
    """What a hook may ask of a response; ``status`` is None when the app never gave one."""

    def __init__(self) -> None:
        self.status: str | None = None
        self.headers: list[tuple[str, str]] = []
        self.sent = 0  # bytes of content

    @property
    def status_code(self) -> int | None:
        """The number of the status."""
        return None if self.status is None else int(self.status.split()[0])


class HookedApp:
    """A WSGI app between two hooks. ``after`` is called when the response has ended."""

    def __init__(
        self,
        app: WsgiApp,
        worker: Any,
        before: Callable[..., object] | None,
        after: Callable[..., object] | None,
    ) -> None:
        self._app = app
        self._worker = worker
        self._before = before
        self._after = after

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Serve a request. What ``before`` raises is an app's failure: a 500."""
        request, response = HookRequest(environ), HookResponse()

        def start(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
            response.status, response.headers = status, list(headers)
            write = start_response(status, response.headers, exc_info)

            def count(data: bytes) -> None:
                response.sent += len(data)
                write(data)

            return count

        def end() -> None:
            self._end(request, environ, response)

        try:
            if self._before is not None:
                self._before(self._worker, request)
            return _Content(self._app(environ, start), response, end)
        except BaseException:
            end()
            raise

    def _end(self, *about: Any) -> None:
        """As in gunicorn: what ``after`` raises is logged, the response is out."""
        try:
            if self._after is not None:
                self._after(self._worker, *about)
        except Exception as exc:
            HTTP_HOOK_FAILED.log(logger, "Exception in post_request hook", cause=exc, exc_info=True)


class _Content:
    """An app's iterable, which is counted, and whose ``close`` ends the request."""

    def __init__(
        self, iterable: Iterable[bytes], response: HookResponse, end: Callable[[], None]
    ) -> None:
        self._iterable = iterable
        self._response = response
        self._end = end

    def __iter__(self) -> Iterator[bytes]:
        for block in self._iterable:
            self._response.sent += len(block)
            yield block

    def close(self) -> None:
        """Close the app's own iterable first."""
        try:
            if hasattr(self._iterable, "close"):
                self._iterable.close()
        finally:
            self._end()
