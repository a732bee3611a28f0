"""The session of a visitor, as the site's framework has it, in consumers: `message.http_session`.

    def load(environ):
        session = find_session(environ["HTTP_COOKIE"])
        return session, session.save

    @http_session(load)
    def on_message(message):
        name = message.http_session["name"]

What it is: the hook between a framework's sessions and consumers. `wsgi_bridge.contrib` has those
for Django, Flask and Pyramid.

Rules:
- A request has its cookies with it. Of a socket only the opening handshake has them: what `load`
  needs of it is kept in the socket's channel session, which a consumer so decorated has too. Hence
  `websocket.connect` needs a consumer with the same decorator.
- It is loaded for each message, so that a consumer sees what was changed since the handshake, if
  the framework keeps its sessions on the server.
- It is saved when the consumer has ended, before the acknowledgement of the event goes out, unless
  the consumer failed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from wsgi_bridge.consumers import Message
from wsgi_bridge.sessions import check_function, check_message, is_given_up, open_session
from wsgi_bridge.wsgi_environ import make_environ

__all__ = ["HEADERS", "HttpSession", "Save", "http_session"]

CONNECT, REQUEST = "websocket.connect", "http.request"

#: Header fields of the handshake that are kept: what sessions go by, and what some check them by.
HEADERS = ("cookie", "host", "user-agent")
#: Other keys of the handshake that are kept.
_KEPT = ("path", "root_path", "scheme", "client", "server")

#: Saves a session, if it has changed.
Save = Callable[[], object]
Load = Callable[[dict[str, Any]], "tuple[Any, Save | None]"]


class HttpSession:
    """A decorator of consumers that gives messages a session. Made by `http_session`.

    A generic class has one as its attribute `http_session`. A framework's own overrides `fill`.
    """

    #: What messages are given.
    attributes: Sequence[str] = ("http_session",)
    #: Names of the header fields of the handshake that are kept, in lower case.
    headers: Collection[str] = HEADERS

    def cookie_names(self) -> Collection[str] | None:
        """Return the names of the cookies that are kept; None keeps all."""
        return None

    def fill(self, message: Message, environ: dict[str, Any]) -> Save | None:
        """Give `message` what `attributes` names, of the visitor of a WSGI environ.

        Returns what saves it, None if nothing does.
        """
        raise NotImplementedError

    def __call__(self, consumer: Callable[..., Any]) -> Callable[..., Any]:
        """Decorate a consumer."""
        check_function("http_session", consumer)

        @functools.wraps(consumer)
        def with_session(message: Message, /, *args: Any, **kwargs: Any) -> Any:
            with self.open(message):
                return consumer(message, *args, **kwargs)

        return with_session

    @contextmanager
    def open(self, message: Message) -> Iterator[None]:
        """Give `message` its session during the block, and save it after that, unless that raises.

        Does nothing within another such block.
        """
        check_message("http_session", message)
        if all(name in vars(message) for name in self.attributes):
            yield
        elif message.channel_name == REQUEST:
            with self._filled(message, message.content):
                yield
        else:
            with open_session(message) as session:
                if message.channel_name == CONNECT:
                    session.handshake = self._keep(message.content)
                if session.handshake is None:
                    raise ValueError(
                        f"http_session: {message.channel_name} {message.get('path', '')} of a "
                        "socket whose handshake was not kept; expected a consumer of "
                        f"{CONNECT} with the same decorator"
                    )
                with self._filled(message, session.handshake):
                    yield

    @contextmanager
    def _filled(self, message: Message, handshake: dict[str, Any]) -> Iterator[None]:
        environ = make_environ(
            {"query_string": b"", **handshake},
            BytesIO(),
            multithread=True,
            multiprocess=True,
            server_software="wsgi-bridge",
        )
        try:
            save = self.fill(message, environ)
            yield
            if save is not None and not is_given_up():
                save()
        finally:
            for name in self.attributes:
                vars(message).pop(name, None)

    def _keep(self, content: dict[str, Any]) -> dict[str, Any]:
        """Return what is kept of a handshake: what a session needs, and no secret beside it."""
        names = self.cookie_names()
        headers = []
        for raw_name, raw_value in content["headers"]:
            name, value = bytes(raw_name), bytes(raw_value)
            if name.decode("latin-1") not in self.headers:
                continue
            if name == b"cookie" and names is not None:
                value = _pick_cookies(value, names)
            headers.append([name, value])
        kept = {key: content[key] for key in _KEPT if content.get(key) is not None}
        return {**kept, "headers": headers}


class _LoadedSession(HttpSession):
    """A session that a function of the site loads."""

    def __init__(
        self, load: Load, headers: Collection[str], cookies: Collection[str] | None
    ) -> None:
        self._load = load
        self._cookies = cookies
        self.headers = headers

    def cookie_names(self) -> Collection[str] | None:
        return self._cookies

    def fill(self, message: Message, environ: dict[str, Any]) -> Save | None:
        message.http_session, save = self._load(environ)
        return save


def http_session(
    load: Load,
    *,
    headers: Iterable[str] = HEADERS,
    cookies: Iterable[str] | None = None,
) -> HttpSession:
    """Make a decorator that gives consumers `message.http_session`, as `load` finds it.

    `load(environ)` returns the session, and a function that saves it if it has changed, or None if
    it cannot be saved. The environ is that of a request, and for a socket that of its opening
    handshake, with no more of it than is kept: of the header fields those in `headers`, of the
    cookies those in `cookies`, all unless given; no query string. Name the cookies: they are kept
    in the layer for as long as the socket is open.
    """
    names = frozenset(name.lower() for name in headers)
    return _LoadedSession(load, names, None if cookies is None else frozenset(cookies))


def _pick_cookies(value: bytes, names: Collection[str]) -> bytes:
    """Return a Cookie field with these cookies only (RFC 6265 section 4.2.1)."""
    pairs = [pair.strip() for pair in value.split(b";")]
    picked = [pair for pair in pairs if pair.partition(b"=")[0].decode("latin-1").strip() in names]
    return b"; ".join(picked)
