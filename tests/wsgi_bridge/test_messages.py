"""MESSAGES.md sections 2 to 4: what each constructor makes, and what it refuses."""

import typing

import pytest

from wsgi_bridge import copying, messages
from wsgi_bridge.exceptions import InvalidMessage
from wsgi_bridge.messages import (
    copy_message,
    delay,
    group_event,
    http_body_chunk,
    http_disconnect,
    http_request,
    http_response,
    websocket_answer,
    websocket_connect,
    websocket_disconnect,
    websocket_receive,
)

REQUEST = {
    "reply_channel": "p!1",
    "http_version": "1.1",
    "method": "GET",
    "path": "/é",
    "query_string": b"a=1",
    "headers": [[b"host", b"example.org"]],
}
CONNECT = {
    "reply_channel": "p!1",
    "path": "/chat/",
    "query_string": b"",
    "headers": [[b"origin", b"x"]],
}
ADDRESSES = {"client": ["127.0.0.1", 1234], "server": ["127.0.0.1", 80]}
EVENT = {"reply_channel": "p!1", "path": "/chat/", "order": 1}

# constructor, arguments, what it adds to them
BUILT = [
    (http_request, REQUEST, {"scheme": "http", "root_path": "", "body": b""}),
    (
        http_request,
        {**REQUEST, **ADDRESSES, "raw_path": b"/%C3%A9", "root_path": "/app", "scheme": "https"},
        {"body": b""},
    ),
    (
        http_request,
        {**REQUEST, "body": b"start", "body_channel": "body?1"},
        {"scheme": "http", "root_path": ""},
    ),
    (http_body_chunk, {"content": b"x", "more_content": True}, {}),
    (http_body_chunk, {"closed": True}, {"content": b"", "more_content": False}),
    (http_response, {"status": 200, "headers": []}, {"content": b"", "more_content": False}),
    (http_response, {"content": b"x", "more_content": True}, {}),
    (
        http_response,
        {"status": 200, "headers": [(b"a", b"b")], "flow_channel": "flow?1", "more_content": True},
        {"content": b""},
    ),
    (http_disconnect, {"reply_channel": "p!1", "path": "/"}, {}),
    (websocket_connect, CONNECT, {"order": 0, "scheme": "ws", "root_path": ""}),
    (
        websocket_connect,
        {**CONNECT, **ADDRESSES, "scheme": "wss", "subprotocols": ["a"], "raw_path": b"/"},
        {"order": 0, "root_path": ""},
    ),
    (websocket_receive, {**EVENT, "text": ""}, {}),
    (websocket_receive, {**EVENT, "bytes": b""}, {}),
    (websocket_disconnect, {**EVENT, "code": 1001}, {"reason": ""}),
    (websocket_answer, {"accept": True, "subprotocol": "a", "headers": []}, {}),
    (websocket_answer, {"accept": False, "status": 401, "content": b"no"}, {}),
    (websocket_answer, {"text": ""}, {}),
    (websocket_answer, {"bytes": b"x", "close": 4000, "reason": "bye"}, {}),
    (websocket_answer, {"close": True}, {}),
    (delay, {"channel": "a", "delay": 100, "content": {"n": 1}}, {}),
    (delay, {"channel": "a", "delay": 100, "content": {}, "id": "one"}, {}),
    (group_event, {"group": "a", "id": 7, "data": {"id": 7}, "order": 1}, {}),
]

REFUSED = [
    (http_request, {**REQUEST, "path": b"/"}, "path is b'/' of type bytes: expected str"),
    (http_request, {**REQUEST, "query_string": ""}, "query_string"),
    (http_request, {**REQUEST, "headers": {}}, "headers"),
    (http_request, {**REQUEST, "body": bytearray()}, "body"),
    (http_request, {**REQUEST, "method": None}, "method is None: expected a str"),
    (http_body_chunk, {"content": "x"}, "content"),
    (http_body_chunk, {"more_content": 1}, "more_content is 1 of type int: expected bool"),
    (http_response, {"status": "200", "headers": []}, "status"),
    (http_response, {"status": True, "headers": []}, "status is True of type bool: expected int"),
    (http_response, {"status": 200}, "expected both"),
    (http_response, {"headers": []}, "expected both"),
    (http_disconnect, {"reply_channel": None, "path": "/"}, "reply_channel is None"),
    (websocket_connect, {**CONNECT, "subprotocols": "a"}, "subprotocols"),
    (websocket_connect, {**CONNECT, "path": None}, "path is None"),
    (websocket_receive, EVENT, "exactly one"),
    (websocket_receive, {**EVENT, "text": "", "bytes": b""}, "exactly one"),
    (websocket_receive, {**EVENT, "text": b"x"}, "text is b'x' of type bytes: expected str"),
    (websocket_receive, {**EVENT, "bytes": "x"}, "bytes is 'x' of type str: expected bytes"),
    (websocket_disconnect, {**EVENT, "code": "1000"}, "code"),
    (websocket_answer, {"text": "x", "bytes": b"x"}, "one of them at most"),
    (websocket_answer, {"close": "1000"}, "close is '1000' of type str: expected bool or int"),
    (websocket_answer, {"accept": 1}, "accept"),
    (delay, {"channel": "a", "delay": 0.5, "content": {}}, "delay"),
    (delay, {"channel": "a", "delay": None, "content": {}}, "delay is None"),
    (delay, {"channel": "a", "delay": 1, "content": b"x"}, "content"),
    (group_event, {"group": "a", "id": 7.0, "data": {}, "order": 1}, "id 7.0"),
    (group_event, {"group": "a", "id": 7, "data": [], "order": 1}, "data"),
]


@pytest.mark.parametrize(("constructor", "arguments", "added"), BUILT)
def test_a_message_has_what_was_given_and_the_defaults(constructor, arguments, added):
    message = constructor(**arguments)
    assert message == {**arguments, **added}
    copy_message(message, 10_000)


@pytest.mark.parametrize(("constructor", "arguments", "said"), REFUSED)
def test_a_wrong_value_is_refused_by_its_key(constructor, arguments, said):
    with pytest.raises(InvalidMessage) as caught:
        constructor(**arguments)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "constructor", dict.fromkeys(case[0] for case in BUILT), ids=lambda f: f.__name__
)
def test_a_constructor_takes_keywords_only_and_returns_its_type(constructor):
    with pytest.raises(TypeError):
        constructor("x")
    name = typing.get_type_hints(constructor)["return"].__name__
    assert name in messages.__all__
    assert not name.startswith("_")


def test_the_copy_knows_every_key_of_our_formats():
    from_types = set(messages._KEY_TYPES) | {"body_window", "early_hints", "sent"}
    assert from_types == copying._KNOWN_KEYS
    for each in (messages.HttpRequest, messages.WebsocketAnswer, messages.ResponseFlow):
        assert set(typing.get_type_hints(each)) <= copying._KNOWN_KEYS
