"""Django's sessions and users in consumers.

    from wsgi_bridge.contrib.django import http_session_user

    @http_session_user
    def connect(message):
        if not message.user.is_authenticated:
            raise DenyConnection("sign in first")

`http_session` gives a consumer `message.http_session`, the session of `SESSION_ENGINE` that the
visitor's cookie names; `http_session_user` that and `message.user`. Both are looked up when they
are touched, afresh for each message. The names of Channels 1.1 are here too.

- What a consumer changes in the session is saved, if the visitor has one: none is made, since no
  cookie can be set on an open socket. So sign people in and out in a view.
- Connections of the database that are unusable or old are closed before and after the consumer, as
  Django does around a request.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.db import close_old_connections
from django.utils.functional import SimpleLazyObject

from wsgi_bridge.consumers import Message
from wsgi_bridge.http_sessions import HttpSession, Save

__all__ = [
    "channel_and_http_session",
    "channel_session_user",
    "channel_session_user_from_http",
    "http_session",
    "http_session_user",
]

SIGNED_COOKIES = "django.contrib.sessions.backends.signed_cookies"


class DjangoSession(HttpSession):
    """Gives messages the session of Django's `SESSION_ENGINE`."""

    def cookie_names(self) -> Collection[str]:
        """Return the name of Django's cookie."""
        return (str(settings.SESSION_COOKIE_NAME),)

    @contextmanager
    def open(self, message: Message) -> Iterator[None]:
        """Give `message` its session during the block, with connections that are usable."""
        close_old_connections()
        try:
            with super().open(message):
                yield
        finally:
            close_old_connections()

    def fill(self, message: Message, environ: dict[str, Any]) -> Save:
        """Give `message` the session that the cookie names, loaded when it is touched."""
        return self._fill(message, environ).save

    def _fill(self, message: Message, environ: dict[str, Any]) -> _Visit:
        visit = _Visit(environ)
        message.http_session = visit.session
        return visit


class DjangoUserSession(DjangoSession):
    """Gives messages the session and the user who is signed in to it, or AnonymousUser."""

    attributes = ("http_session", "user")

    def _fill(self, message: Message, environ: dict[str, Any]) -> _Visit:
        visit = super()._fill(message, environ)
        message.user = SimpleLazyObject(visit.user)
        return visit


class _Visit:
    """A request of Django's, as far as its session goes."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self.request: Any = WSGIRequest(environ)
        key = self.request.COOKIES.get(settings.SESSION_COOKIE_NAME)
        self.session = self.request.session = _engine().SessionStore(key)

    def user(self) -> Any:
        from django.contrib.auth import get_user  # a site may have sessions and no users

        # With SECRET_KEY_FALLBACKS in use it gives the session another key, of which the browser
        # would learn nothing: its visitor would be signed out.
        self.session.cycle_key = lambda: None
        try:
            return get_user(self.request)
        finally:
            del self.session.cycle_key

    def save(self) -> None:
        """Save the session if the consumer changed it."""
        session = self.session
        if not session.modified or session.is_empty():
            return
        if settings.SESSION_ENGINE == SIGNED_COOKIES:
            raise RuntimeError(
                "http_session was changed, but is kept in the browser's cookie (SESSION_ENGINE is "
                "signed_cookies): change it in a view, or keep it elsewhere"
            )
        if session.session_key is None:
            raise RuntimeError(
                "http_session was changed, but the visitor has none, and a socket cannot set its "
                "cookie: begin it in a view, or use channel_session"
            )
        session.save()


def _engine() -> Any:
    return import_module(settings.SESSION_ENGINE)


#: Gives consumers `message.http_session`.
http_session = DjangoSession()
#: Gives consumers `message.http_session` and `message.user`.
http_session_user = DjangoUserSession()

# What Channels 1.1 called them; a socket's consumers have `message.channel_session` with each.
channel_and_http_session = http_session
channel_session_user = channel_session_user_from_http = http_session_user
