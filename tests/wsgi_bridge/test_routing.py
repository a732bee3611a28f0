"""The routing table: which consumer, with which keyword arguments; and what is no table at all."""

import re
import sys
import types

import pytest

from wsgi_bridge.exceptions import RoutingError
from wsgi_bridge.routing import Router, include, route, route_class


def first(message, **kwargs):
    """A consumer."""


def second(message, **kwargs):
    """Another one."""


class Both:
    @classmethod
    def channel_names(cls):
        return {"websocket.connect", "websocket.receive"}

    def __init__(self, message, **kwargs):
        pass


def found(routing, channel, message):
    match = Router(routing).match(channel, message)
    return None if match is None else (match.consumer, dict(match.kwargs))


MATCHES = [
    # (filters, message, the keyword arguments or None for no match)
    ({}, {}, {}),
    ({"path": "^/chat/$"}, {"path": "/chat/"}, {}),
    ({"path": "^/chat/$"}, {"path": "/chat/x"}, None),
    ({"path": "/chat"}, {"path": "/chat/x"}, {}),  # anchored at the start only
    ({"path": "chat"}, {"path": "/chat"}, None),
    ({"path": "^/chat/$"}, {}, None),
    ({"text": ".*"}, {"text": None}, None),
    ({"text": "^$"}, {"text": ""}, {}),
    ({"path": "/(?P<room>[a-z]+)/"}, {"path": "/lobby/"}, {"room": "lobby"}),
    ({"path": "/(?P<room>[a-z]+)?/"}, {"path": "//"}, {"room": None}),
    ({"path": "/(?:a|b)/"}, {"path": "/b/"}, {}),
    ({"path": "^/x", "method": "^GET$"}, {"path": "/x", "method": "GET"}, {}),
    ({"path": "^/x", "method": "^GET$"}, {"path": "/x", "method": "PUT"}, None),
    ({"path": "/(?P<a>.)", "text": "(?P<b>.)"}, {"path": "/1", "text": "2"}, {"a": "1", "b": "2"}),
    ({"query_string": "(?P<q>.*)"}, {"query_string": b"a=\xff"}, {"q": "a=\xff"}),
    ({"code": "^10(?P<n>..)$"}, {"code": 1006}, {"n": "06"}),
    ({"code": "^1$", "path": "/"}, {"code": 1.5, "path": "/"}, None),
    ({"headers": ".*"}, {"headers": [[b"a", b"b"]]}, None),
    ({"headers": ".*", "path": "/"}, {"headers": [], "path": "/"}, None),
    ({"channel": "^x$"}, {"channel": "x"}, {}),  # the key of asgi.delay, not our parameter
    ({"path": b"/\xe9"}, {"path": "/\xe9"}, {}),
    ({"path": re.compile("/CHAT", re.IGNORECASE)}, {"path": "/chat"}, {}),
]


@pytest.mark.parametrize(("filters", "message", "expected"), MATCHES)
def test_filters_choose_the_messages_and_name_the_arguments(filters, message, expected):
    routing = [route("websocket.receive", first, **filters)]

    result = found(routing, "websocket.receive", message)

    assert result == (None if expected is None else (first, expected))


INCLUDES = [
    # (prefix filters, inner filters, message, keyword arguments)
    ({"path": "^/chat"}, {"path": "^/room/$"}, {"path": "/chat/room/"}, {}),
    ({"path": "^/chat"}, {"path": "^/chat/room/$"}, {"path": "/chat/room/"}, None),
    ({"path": "^/chat"}, {"path": "^$"}, {"path": "/chat"}, {}),
    ({"path": "^/chat"}, {}, {"path": "/chat/anything"}, {}),
    ({"path": "^/chat"}, {}, {"path": "/other"}, None),
    ({"path": "^/chat"}, {}, {}, None),
    ({"path": "/(?P<a>.)"}, {"path": "/(?P<b>.)"}, {"path": "/1/2"}, {"a": "1", "b": "2"}),
    ({"path": "/(?P<a>.)"}, {"path": "/(?P<a>.)"}, {"path": "/1/2"}, {"a": "2"}),
    ({"method": "^G"}, {"method": "^ET$", "path": "/"}, {"method": "GET", "path": "/"}, {}),
    ({"query_string": "a="}, {"query_string": "(?P<v>.)"}, {"query_string": b"a=1"}, {"v": "1"}),
]


@pytest.mark.parametrize(("prefixes", "filters", "message", "expected"), INCLUDES)
def test_an_include_cuts_its_prefix_off_for_the_inner_routes(prefixes, filters, message, expected):
    before = dict(message)
    routing = [include([route("http.request", first, **filters)], **prefixes)]

    result = found(routing, "http.request", message)

    assert result == (None if expected is None else (first, expected))
    assert message == before


def test_includes_nest():
    inner = include([route("x", first, path="^/c(?P<n>.)$")], path="^/b")
    routing = [include([inner], path="^/a")]

    assert found(routing, "x", {"path": "/a/b/c1"}) == (first, {"n": "1"})
    assert found(routing, "x", {"path": "/b/c1"}) is None


def test_the_first_route_that_matches_wins_includes_in_place():
    routing = [
        route("x", first, path="^/a/b$"),
        include([route("x", second, path="/b")], path="^/a"),
        route("x", first),
    ]

    assert found(routing, "x", {"path": "/a/b"}) == (first, {})
    assert found(routing, "x", {"path": "/a/bc"}) == (second, {})
    assert found(routing, "x", {"path": "/a/c"}) == (first, {})


def test_a_route_serves_its_channels_and_no_others():
    router = Router([route(["a", "b"], first), route_class(Both)])

    assert router.channels == {"a", "b", "websocket.connect", "websocket.receive"}
    assert router.match("b", {}).consumer is first
    assert router.match("websocket.connect", {}).consumer is Both
    assert router.match("websocket.disconnect", {}) is None


@pytest.mark.parametrize("empty", [None, (), []])
def test_an_empty_table_matches_nothing(empty):
    router = Router(empty)

    assert router.channels == frozenset()
    assert router.match("http.request", {"path": "/"}) is None
    assert not router.accepts_websocket({"path": "/"})


def test_a_match_names_its_route_for_the_logs():
    match = Router([route("x", first, on_error="continue", path="^/a")]).match("x", {"path": "/a"})

    assert match.route.name == f"x path='^/a' -> {__name__}.first"
    assert match.route.on_error == "continue"
    assert route("x", first).on_error == "close"
    assert route_class(Both, on_error="continue").on_error == "continue"


ACCEPTED = [
    # (channel, filters, whether the socket of CONNECT is accepted)
    ("websocket.connect", {"path": "^/chat/$"}, True),
    ("websocket.receive", {"path": "^/chat/$"}, True),
    ("websocket.disconnect", {"path": "^/chat/$"}, True),
    ("websocket.receive", {"path": "^/other/$"}, False),
    ("websocket.receive", {}, True),
    ("websocket.receive", {"path": "^/chat/$", "text": "^hello"}, True),
    ("websocket.receive", {"path": "^/other/$", "text": "^hello"}, False),
    ("websocket.receive", {"order": "^1$"}, True),
    ("websocket.disconnect", {"code": "^1000$"}, True),
    ("websocket.connect", {"query_string": "^token="}, False),
    ("websocket.connect", {"absent": ".*"}, False),
    ("http.request", {"path": "^/chat/$"}, False),
    ("thumbnails", {}, False),
]
CONNECT = {"reply_channel": "r!1", "path": "/chat/", "query_string": b"", "order": 0}


@pytest.mark.parametrize(("channel", "filters", "expected"), ACCEPTED)
def test_a_socket_is_accepted_if_any_of_its_events_has_a_route(channel, filters, expected):
    plain = Router([route(channel, first, **filters)])

    assert plain.accepts_websocket(CONNECT) is expected


def test_a_socket_behind_an_include_is_accepted_by_the_rest_of_its_path():
    router = Router([include([route("websocket.receive", first, path="^/$")], path="^/chat")])

    assert router.accepts_websocket(CONNECT)
    assert not router.accepts_websocket({**CONNECT, "path": "/chat/x"})


@pytest.fixture
def realtime(monkeypatch):
    module = types.ModuleType("a_site_of_ours.realtime")
    module.on_message = first
    module.Both = Both
    module.table = [route("x", second)]
    module.number = 3
    monkeypatch.setitem(sys.modules, "a_site_of_ours", types.ModuleType("a_site_of_ours"))
    monkeypatch.setitem(sys.modules, "a_site_of_ours.realtime", module)
    return "a_site_of_ours.realtime"


def test_consumers_and_tables_may_be_dotted_names(realtime):
    assert route("x", f"{realtime}.on_message").consumer is first
    assert route_class(f"{realtime}.Both").consumer is Both
    assert found(f"{realtime}.table", "x", {}) == (second, {})
    assert found([include(f"{realtime}.table", path="/a")], "x", {"path": "/a"}) == (second, {})


REFUSED = [
    (lambda name: route("x", f"{name}.missing"), "has no 'missing'"),
    (lambda name: route("x", f"{name}.number"), "expected a callable"),
    (lambda _: route("x", "a_site_of_ours.missing.function"), "cannot import"),
    (lambda _: route("x", "function"), "names nothing to import"),
    (lambda _: route("x", None), "expected a callable"),
    (lambda _: route("", first), "expected a channel name"),
    (lambda _: route([], first), "expected a channel name"),
    (lambda _: route("x", first, on_error="ignore"), "on_error: 'ignore'"),
    (lambda _: route("x", first, path="("), "no regular expression"),
    (lambda _: route("x", first, path="/(.*)"), "positional groups"),
    (lambda _: route("x", first, path=3), "expected a regular expression"),
    (lambda _: route("x", first, path=re.compile(b"/")), "expected a regular expression"),
    (lambda _: route("x", first, path="/(?P<message>.)"), "'message' is taken"),
    (lambda _: route("x", first, path="/(?P<a>.)", text="(?P<a>.)"), "'a' is taken"),
    (lambda _: route_class(first), "channel_names"),
    (lambda name: include(f"{name}.number"), "expected a list"),
    (lambda _: include([first]), "expected route"),
    (lambda _: Router(route("x", first)), "expected a list"),
    (lambda _: Router([("x", first)]), "expected route"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_what_cannot_be_routed_is_refused_when_it_is_written(realtime, make, message):
    with pytest.raises(RoutingError, match=message):
        make(realtime)


def test_what_a_module_raises_itself_is_not_hidden(monkeypatch, tmp_path):
    (tmp_path / "a_broken_site.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ZeroDivisionError):
        route("x", "a_broken_site.consumer")
