"""Routing: which consumer gets a message, and with which keyword arguments.

What it is: `route`, `route_class` and `include` describe a table; `Router` compiles it once and
answers `match` for every message after that. What it is not: it runs nothing, sends nothing, and
knows no layer.

Rules:
- The first route that matches wins, in the order of the table, includes in place.
- A filter is a regular expression on one key of the message, anchored at the start only
  (`re.match`). Every filter of a route must match; a message without the key, or with None in it,
  does not.
- bytes are matched as latin-1 text, numbers as `str` writes them; lists and dicts never match.
- Named groups become keyword arguments of the consumer (None for one that took no part); positional
  groups are refused, since nothing would ever see them.
- An include cuts what its prefix matched off the key before the inner routes see it. Only the
  routes see the cut value: the consumer gets the message as it came.

The table is the one of Django Channels 1.1 (`channels/routing.py`), compiled.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from wsgi_bridge.exceptions import RoutingError
from wsgi_bridge.limits import BACKOFF, RETRIES, Limits

__all__ = ["Include", "Match", "Route", "Router", "include", "route", "route_class"]

Consumer: TypeAlias = Callable[..., object]
Regex: TypeAlias = "str | bytes | re.Pattern[str]"
Test: TypeAlias = "Callable[[Mapping[str, Any]], Match | None]"

#: A consumer's first parameter: a named group of this name would be passed twice.
RESERVED_GROUPS = frozenset({"message"})
#: Keys that change from event to event of one connection: on connect they say nothing of later
#: events.
VARYING_KEYS = frozenset({"order"})
CONNECT, RECEIVE = "websocket.connect", "websocket.receive"
_MISSING = object()


class Route:
    """One line of the table: channels, filters, and the consumer they lead to. Made by `route`."""

    __slots__ = ("backoff", "channels", "consumer", "filters", "name", "on_error", "retries",
                 "timeout", "window")  # fmt: skip

    def __init__(
        self,
        channels: Sequence[str],
        consumer: Consumer,
        limits: Limits,
        filters: Mapping[str, Regex],
    ) -> None:
        self.channels = tuple(channels)
        self.consumer = consumer
        self.on_error = limits.on_error
        self.timeout = limits.timeout
        self.retries = limits.retries
        self.backoff = limits.backoff
        self.window = limits.window
        self.filters = _compile_filters(filters)
        self.name = _route_name(self)
        if self.window > 1 and RECEIVE not in self.channels:
            raise RoutingError(f"window of {self.name}; expected a route of {RECEIVE}")

    def __repr__(self) -> str:
        return f"<Route {self.name}>"


class Include:
    """A table inside a table, behind prefixes. Made by `include`."""

    __slots__ = ("prefixes", "routing")

    def __init__(self, routing: tuple[Entry, ...], prefixes: Mapping[str, Regex]) -> None:
        self.routing = routing
        self.prefixes = _compile_filters(prefixes)


Entry: TypeAlias = Route | Include


@dataclass(slots=True)
class Match:
    """What a message was matched to.

    `consumer` is to be called as `consumer(message, **kwargs)`; `kwargs` is shared between
    matches and must not be changed; `route` has the `name` for logs and `on_error`.
    """

    consumer: Consumer
    kwargs: Mapping[str, Any]
    route: Route


def route(
    channel: str | Sequence[str],
    consumer: Consumer | str,
    /,
    *,
    on_error: str = "close",
    timeout: float | None = None,
    retries: int = RETRIES,
    backoff: float = BACKOFF,
    window: int = 1,
    **filters: Regex,
) -> Route:
    """Lead the messages of a channel to a consumer.

    `channel` is a channel name, or several. `consumer` is called as `consumer(message,
    **named_groups)`; a string is imported ("package.module.function"). `on_error` says what
    becomes of a socket whose consumer raised: "close" (1011) or "continue". A consumer that has
    not ended after `timeout` seconds counts as failed: it is interrupted where that is possible (in
    a greenlet, when it waits), and its peer is answered in any case. One that raises ConsumeLater
    gets its message again up to `retries` times, after `backoff` seconds and then twice as many
    each time, unless it says when. Up to `window` frames of one socket are handled at once, 1 to
    64: with more than 1, frames may overtake each other. Each further keyword is a message key and
    the regular expression that its value must match. Raise RoutingError for whatever of this cannot
    work.
    """
    channels = (channel,) if isinstance(channel, str) else tuple(channel)
    if not channels or not all(isinstance(name, str) and name for name in channels):
        raise RoutingError(f"channel: {channel!r}; expected a channel name, or several")
    limits = Limits(on_error, timeout, retries, backoff, window)
    return Route(channels, _callable(consumer), limits, filters)


def route_class(
    consumer: Consumer | str,
    /,
    *,
    on_error: str = "close",
    timeout: float | None = None,
    retries: int = RETRIES,
    backoff: float = BACKOFF,
    window: int = 1,
    **filters: Regex,
) -> Route:
    """Lead the messages of every channel that a consumer class serves to that class.

    `consumer` is a class with `channel_names()`, like those of `wsgi_bridge.generic`, or its
    dotted name; the other arguments are those of `route`. Raise RoutingError likewise.
    """
    found = _callable(consumer)
    names = getattr(found, "channel_names", None)
    if not callable(names):
        raise RoutingError(
            f"consumer: {found!r}; expected a class with channel_names(); see route()"
        )
    limits = Limits(on_error, timeout, retries, backoff, window)
    return Route(sorted(names()), found, limits, filters)


def include(routing: Iterable[Entry] | str, /, **prefixes: Regex) -> Include:
    """Put a whole table here, behind prefixes.

    `routing` is a list of routes and includes, or the dotted name of one. Each keyword is a
    message key and the regular expression its value must start with; what it matched is cut off
    before the inner routes see the value, and its named groups go to their consumers. Raise
    RoutingError.
    """
    return Include(_entries(routing), prefixes)


class Router:
    """A compiled table. Immutable, hence safe to share between threads."""

    def __init__(self, routing: Iterable[Entry] | str | None = ()) -> None:
        """Compile a list of routes and includes, or the dotted name of one; None has none."""
        entries = _entries(() if routing is None else routing)
        self.entries = entries
        self.channels = frozenset(_channels(entries))
        self.routes = tuple(dict.fromkeys(_routes(entries)))
        self._tests = {channel: _compile(entries, channel) for channel in self.channels}
        self._has_windows = any(each.window > 1 for each in self.routes)
        self._frame_tests = tuple(
            zip(self._tests.get(RECEIVE, ()), _compile(entries, RECEIVE, lenient=True), strict=True)
        )
        self._websocket_tests = [
            test
            for channel in self.channels
            if channel.startswith("websocket.")
            for test in _compile(entries, channel, lenient=channel != CONNECT)
        ]

    def match(self, channel: str, message: Mapping[str, Any]) -> Match | None:
        """Return the first match for a message that came on `channel`, or None. Does not block."""
        for test in self._tests.get(channel, ()):
            found = test(message)
            if found is not None:
                return found
        return None

    def accepts_websocket(self, message: Mapping[str, Any]) -> bool:
        """Say whether the socket of a `websocket.connect` message has a route for any event.

        A filter on a key that only later events have (`text`, `code`) counts as matching here.
        """
        return any(test(message) is not None for test in self._websocket_tests)

    def window_of(self, message: Mapping[str, Any]) -> int:
        """Return the window of the socket of a `websocket.connect` message.

        That of the route that its frames will take; the smallest, if what is in them decides.
        """
        if not self._has_windows:
            return 1
        windows = []
        for test, lenient_test in self._frame_tests:
            found = lenient_test(message)
            if found is None:
                continue
            windows.append(found.route.window)
            if test(message) is not None:
                break  # every frame that comes so far is for this one
        return min(windows, default=1)


def _channels(entries: Iterable[Entry]) -> Iterator[str]:
    for entry in entries:
        yield from _channels(entry.routing) if isinstance(entry, Include) else entry.channels


def _routes(entries: Iterable[Entry]) -> Iterator[Route]:
    for entry in entries:
        yield from _routes(entry.routing) if isinstance(entry, Include) else (entry,)


def _compile(entries: Iterable[Entry], channel: str, *, lenient: bool = False) -> tuple[Test, ...]:
    """Return the tests of the entries that serve a channel, in order.

    Lenient ones pass over the filters on what a `websocket.connect` cannot say of later events.
    """
    tests: list[Test] = []
    for entry in entries:
        if isinstance(entry, Include):
            inner = _compile(entry.routing, channel, lenient=lenient)
            if inner:
                tests.append(_compile_include(entry.prefixes, inner, lenient))
        elif channel in entry.channels:
            tests.append(_compile_route(entry, lenient))
    return tuple(tests)


def _compile_route(leaf: Route, lenient: bool) -> Test:
    """Return the cheapest test of a route: one runs for every message."""
    if not leaf.filters:
        always = Match(leaf.consumer, {}, leaf)
        return lambda _: always
    if len(leaf.filters) == 1 and not lenient:
        return _compile_single(leaf, *leaf.filters.items())
    filters = leaf.filters

    def test(message: Mapping[str, Any]) -> Match | None:
        found = _match_all(filters, message, lenient)
        return None if found is None else Match(leaf.consumer, _named_groups(found), leaf)

    return test


def _compile_single(leaf: Route, item: tuple[str, re.Pattern[str]]) -> Test:
    """Return the test of a route with one filter: nearly every route has just a path."""
    key, regex = item
    match = regex.match
    constant = None if regex.groups else Match(leaf.consumer, {}, leaf)

    def test(message: Mapping[str, Any]) -> Match | None:
        value = message.get(key)
        if type(value) is not str:
            value = _text(value)
            if value is None:
                return None
        found = match(value)
        if found is None:
            return None
        return constant or Match(leaf.consumer, found.groupdict(), leaf)

    return test


def _compile_include(
    prefixes: Mapping[str, re.Pattern[str]], inner: tuple[Test, ...], lenient: bool
) -> Test:
    """Return the test of an include: its prefixes once, then the inner tests on what is left."""
    has_groups = any(regex.groups for regex in prefixes.values())

    def test(message: Mapping[str, Any]) -> Match | None:
        found = _match_all(prefixes, message, lenient)
        if found is None:
            return None
        rests = {key: match.string[match.end() :] for key, match in found.items()}
        cut = {**message, **rests}
        for inner_test in inner:
            result = inner_test(cut)
            if result is not None and has_groups:
                kwargs = {**_named_groups(found), **result.kwargs}
                return Match(result.consumer, kwargs, result.route)
            if result is not None:
                return result
        return None

    return test


def _match_all(
    filters: Mapping[str, re.Pattern[str]], message: Mapping[str, Any], lenient: bool
) -> dict[str, re.Match[str]] | None:
    """Return what each filter matched, None unless all did."""
    matches = {}
    for key, regex in filters.items():
        if lenient and (key not in message or key in VARYING_KEYS):
            continue
        value = _text(message.get(key))
        found = None if value is None else regex.match(value)
        if found is None:
            return None
        matches[key] = found
    return matches


def _named_groups(matches: Mapping[str, re.Match[str]]) -> dict[str, Any]:
    return {name: value for match in matches.values() for name, value in match.groupdict().items()}


def _text(value: object) -> str | None:
    """Return what a filter sees of a message's value, None for what no filter can match."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return str(value) if isinstance(value, (int, float)) else None


def _compile_filters(filters: Mapping[str, Regex]) -> dict[str, re.Pattern[str]]:
    compiled = {key: _compile_regex(key, regex) for key, regex in filters.items()}
    seen: set[str] = set()
    for key, pattern in compiled.items():
        for group in pattern.groupindex:
            if group in seen or group in RESERVED_GROUPS:
                raise RoutingError(
                    f"filter {key}: the group name {group!r} is taken; expected another"
                )
            seen.add(group)
    return compiled


def _compile_regex(key: str, regex: Regex) -> re.Pattern[str]:
    text = regex.decode("latin-1") if isinstance(regex, bytes) else regex
    if not isinstance(text, str) and not (
        isinstance(text, re.Pattern) and isinstance(text.pattern, str)
    ):
        raise RoutingError(f"filter {key}: {regex!r}; expected a regular expression")
    try:
        pattern = re.compile(text)
    except re.error as exc:
        raise RoutingError(f"filter {key}: {regex!r} is no regular expression: {exc}") from exc
    if pattern.groups != len(pattern.groupindex):
        raise RoutingError(
            f"filter {key}: {regex!r} has positional groups; expected (?P<name>…) or (?:…)"
        )
    return pattern


def _entries(routing: Iterable[Entry] | str) -> tuple[Entry, ...]:
    """Return a table as a tuple, imported if it is a name; RoutingError if it is none."""
    table: Any = import_object(routing) if isinstance(routing, str) else routing
    if isinstance(table, (Route, Include)) or not isinstance(table, Iterable):
        raise RoutingError(
            f"routing: {table!r}; expected a list of route(…), route_class(…), include(…)"
        )
    entries = tuple(table)
    for entry in entries:
        if not isinstance(entry, (Route, Include)):
            raise RoutingError(
                f"routing: {entry!r}; expected route(…), route_class(…) or include(…)"
            )
    return entries


def _callable(consumer: object) -> Consumer:
    found = import_object(consumer) if isinstance(consumer, str) else consumer
    if not callable(found):
        raise RoutingError(f"consumer: {found!r}; expected a callable or a dotted name")
    return found


def import_object(name: str) -> object:
    """Import what a dotted name says: "package.module.attribute".

    Raise RoutingError if there is no such thing. What else the module raises passes through.
    """
    module_name, _, attribute = name.rpartition(".")
    if not module_name:
        raise RoutingError(f"{name!r} names nothing to import; expected 'package.module.attribute'")
    try:
        module = importlib.import_module(module_name)
    except ImportError as exc:
        raise RoutingError(f"cannot import {name!r}: {exc}") from exc
    found: object = getattr(module, attribute, _MISSING)
    if found is _MISSING:
        raise RoutingError(f"cannot import {name!r}: {module_name} has no {attribute!r}")
    return found


def _route_name(leaf: Route) -> str:
    """Return a route's line for the logs: channels, filters, consumer."""
    consumer = leaf.consumer
    target = getattr(consumer, "__qualname__", None)
    label = f"{consumer.__module__}.{target}" if target else repr(consumer)
    filters = [f"{key}={regex.pattern!r}" for key, regex in leaf.filters.items()]
    return " ".join(["|".join(leaf.channels), *filters, "->", label])
