"""Cookies: those of one visitor, under the rules of browsers (http.cookiejar)."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from email.message import Message
from http.cookiejar import Cookie, CookieJar
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request as UrlRequest

from wsgi_bridge.testing.headers import Headers


class Cookies(MutableMapping[str, str]):
    """A mapping of names to values; domain, path and expiry are kept in ``jar``."""

    def __init__(self, base_url: str) -> None:
        self.jar = CookieJar()
        self._base_url = base_url

    def field_for(self, url: str) -> str | None:
        """Return the Cookie field of a request, None for none."""
        request = _asked(url)
        self.jar.add_cookie_header(request)
        return request.get_header("Cookie")

    def keep(self, url: str, headers: Headers) -> None:
        """Keep what an answer sets."""
        self.jar.extract_cookies(_Answer(headers), _asked(url))  # type: ignore[arg-type]

    def __getitem__(self, name: str) -> str:
        for cookie in self.jar:
            if cookie.name == name:
                return cookie.value or ""
        raise KeyError(name)

    def __setitem__(self, name: str, value: str) -> None:
        host = urlsplit(self._base_url).hostname or ""
        # http.cookiejar's name for a host without a dot.
        domain = host if "." in host else f"{host}.local"
        self.jar.set_cookie(_make_cookie(name, value, domain))

    def __delitem__(self, name: str) -> None:
        for cookie in [cookie for cookie in self.jar if cookie.name == name]:
            self.jar.clear(cookie.domain, cookie.path, cookie.name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(cookie.name for cookie in self.jar))

    def __len__(self) -> int:
        return len({cookie.name for cookie in self.jar})


class _Answer:
    """What http.cookiejar wants of an answer."""

    def __init__(self, headers: Headers) -> None:
        self._message = Message()
        for name, value in headers.fields():
            self._message[name] = value

    def info(self) -> Message:
        return self._message


def _asked(url: str) -> UrlRequest:
    """Return the request that cookies are for: those of a page go to its sockets too."""
    http_url = "http" + url[2:] if url.startswith("ws") else url
    return UrlRequest(http_url)  # noqa: S310 - nothing opens it


def _make_cookie(name: str, value: str, domain: str) -> Cookie:
    plain: dict[str, Any] = {
        "version": 0, "port": None, "port_specified": False, "domain_specified": False,
        "domain_initial_dot": False, "path": "/", "path_specified": True, "secure": False,
        "expires": None, "discard": True, "comment": None, "comment_url": None, "rest": {},
    }  # fmt: skip
    return Cookie(name=name, value=value, domain=domain, **plain)
