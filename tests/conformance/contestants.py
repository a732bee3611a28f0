"""Our worker and its peers: how each is started, and with which app for which column."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.servers import Server

APPS = "tests.conformance.apps"


@dataclass(frozen=True)
class Contestant:
    """A server of the table. ``apps`` names its app for each column; without one it has no cell."""

    name: str
    command: tuple[str, ...]
    apps: Mapping[str, str]
    is_gunicorn: bool = True

    def with_app(self, column: str, options: tuple[str, ...] = ()) -> Server:
        """Return it as it is started for a column."""
        command = (*self.command, *options, self.apps[column])
        workers = 1 if self.is_gunicorn else 0
        return Server(self.name, command, has_arbiter=self.is_gunicorn, workers=workers)

    def knows(self, settings: Mapping[str, Any]) -> bool:
        """Whether it can be told these settings of gunicorn's."""
        return self.is_gunicorn or not settings


def _gunicorn(name: str, worker: str, **apps: str) -> Contestant:
    """Return one worker process of gunicorn."""
    command = (sys.executable, "-m", "gunicorn", "-k", worker, "-b", "127.0.0.1:0")
    return Contestant(name, (*command, "--no-control-socket"), apps)


def _program(name: str, *options: str) -> Contestant:
    """Return an ASGI server that is a program by itself."""
    return Contestant(name, (sys.executable, "-m", name, *options), ASGI_APPS, is_gunicorn=False)


ASGI_APPS = {
    "autobahn": f"{APPS}.echo_asgi:application",
    "corpus": f"{APPS}.http_asgi:application",
    "slow": f"{APPS}.http_asgi:application",
}
WSGI_APPS = {
    "corpus": f"{APPS}.http_wsgi:application",
    "slow": f"{APPS}.http_wsgi:application",
}
CONTESTANTS = (
    _gunicorn(
        "ours", "gunicorn_asgi.Worker", autobahn=f"{APPS}.echo_bridge:application", **WSGI_APPS
    ),
    _gunicorn(
        "gunicorn gevent, simple-websocket",
        "gevent",
        autobahn=f"{APPS}.echo_hijack:application",
        **WSGI_APPS,
    ),
    _gunicorn(
        "gunicorn, gevent-websocket",
        "geventwebsocket.gunicorn.workers.GeventWebSocketWorker",
        autobahn=f"{APPS}.echo_gevent_websocket:application",
    ),
    _gunicorn("gunicorn asgi", "asgi", **ASGI_APPS),
    _program("uvicorn", "--host", "127.0.0.1", "--port", "0", "--lifespan", "off"),
    _program("daphne", "-b", "127.0.0.1", "-p", "0"),
)
