"""Opening the layer that a user names, to look at it from outside.

A look makes nothing: no directory, no reader, no claim. What cannot be opened is one sentence that
says what to do, without the password of the URL.
"""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urlsplit

from wsgi_bridge.commands.errors import FAILED, MISUSED, CommandError
from wsgi_bridge.exceptions import (
    ChannelFull,
    ChannelLayerUnavailable,
    InvalidLayerURL,
    InvalidName,
)
from wsgi_bridge.layers import BaseLayer, open_layer
from wsgi_bridge.server.capacity import server_capacity

__all__ = ["is_any_ipc", "opened", "public_url", "urls_of_ipc"]


@contextlib.contextmanager
def opened(url: str) -> Iterator[BaseLayer]:
    """Open the layer at `url`, close it after the block; both raise CommandError."""
    parts = _split(url)
    if parts.scheme == "memory":
        raise CommandError(
            "a memory:// layer lives in one process, and there is nothing to look at from "
            "outside: Bridge.statistics() tells it from within",
            MISUSED,
        )
    if is_any_ipc(url):
        names = ", ".join(urls_of_ipc()) or "there is none"
        raise CommandError(f"ipc:// names no layer: say which one ({names})", MISUSED)
    layer = _open(url)  # which touches nothing yet
    if parts.scheme == "ipc":
        _check_ipc(parts)
    try:
        yield layer
    except ChannelLayerUnavailable as exc:
        raise CommandError(
            f"{public_url(url)} is unavailable: {_sentence(exc)}{_cure(parts)}"
        ) from exc
    except ChannelFull as exc:
        raise CommandError(
            f"{public_url(url)} takes no message: {exc}; its memory is full, or its capacity is 0"
        ) from exc
    except InvalidName as exc:
        raise CommandError(str(exc), MISUSED) from exc
    finally:
        layer.close()


def public_url(url: str) -> str:
    """Return a URL without credentials and options, either of which may be secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def is_any_ipc(url: str) -> bool:
    """Whether a URL is `ipc://`, without a name: all that this user has."""
    parts = _split(url)
    return parts.scheme == "ipc" and not parts.netloc and not parts.path.strip("/")


def urls_of_ipc() -> list[str]:
    """Return the URLs of the ipc layers that this user has here, by name if that is enough."""
    # Imported late, here and below: who has Redis only need not have lmdb.
    from wsgi_bridge.layers.ipc.directory import known_directories

    return [_url_of(path) for path in known_directories()]


def _url_of(path: Path) -> str:
    from wsgi_bridge.layers.ipc.directory import find_directory

    with contextlib.suppress(InvalidLayerURL):  # it may have been made by its path
        if find_directory(path.name, "") == path:
            return f"ipc://{path.name}"
    return f"ipc://{quote(str(path))}"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError as exc:
        raise CommandError(f"that is no URL of a layer: {exc}", MISUSED) from exc
    if _has_stray_at(parts):
        # Else a part of the password would be taken, and shown, for a host or a database.
        raise CommandError(
            "there is an '@' behind the hosts of the URL: write '/', '?', '#' and '@' in a "
            "password as %2F, %3F, %23 and %40",
            MISUSED,
        )
    return parts


def _has_stray_at(parts: SplitResult) -> bool:
    if parts.scheme == "ipc":  # has no password, and a path of any kind
        return False
    if parts.scheme == "redis+unix":
        return bool(parts.netloc) and "@" not in parts.netloc
    return "@" in parts.path + parts.fragment


def _open(url: str) -> BaseLayer:
    try:
        # As the gunicorn worker opens it: what a channel may hold is not written down in the layer.
        return open_layer(url, channel_capacity=server_capacity())
    except (ValueError, ImportError) as exc:
        is_lacking = isinstance(exc.__cause__ or exc, ImportError)
        text = "the URL of the layer cannot be read"
        # An '@' in the query may be a password's, with a '?' before it.
        if "@" not in urlsplit(url).query:
            text = str(exc)
        raise CommandError(text, FAILED if is_lacking else MISUSED) from exc


def _check_ipc(parts: SplitResult) -> None:
    """Refuse a directory that has no layer in it: its first use would make one."""
    from wsgi_bridge.layers.ipc.directory import find_directory, has_layer

    path = find_directory(parts.netloc, unquote(parts.path))
    try:
        if has_layer(path):
            return
        found = "there is no ipc layer in"
    except OSError as exc:
        found = f"{exc.strerror} in"
    raise CommandError(_not_there(found, path))


def _not_there(found: str, path: Path) -> str:
    user = pwd.getpwuid(os.geteuid()).pw_name if _has_name() else "this user"
    others = ", ".join(urls_of_ipc())
    known = f"those of {user} are {others}" if others else f"{user} has none on this machine"
    return (
        f"{found} {str(path)!r}: {known}; a layer is seen only by the user whose it is (run this "
        "as the user of the site), and by its path where the environment differs: ipc:///path"
    )


def _has_name() -> bool:
    # A container may run under an id that nobody has written down.
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return True


def _sentence(exc: ChannelLayerUnavailable) -> str:
    return str(exc).rstrip(".")  # redis-py's have a full stop


def _cure(parts: SplitResult) -> str:
    """Return what to do, for a layer whose own errors do not say."""
    if parts.scheme == "ipc":
        return ""
    return "; see that the server runs, and that the URL is the site's"
