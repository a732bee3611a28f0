"""The formats of messages, and constructors that check them.

MESSAGES.md sections 2 to 4, as a TypedDict and a keyword-only constructor each. A constructor
leaves out what is absent, and raises InvalidMessage for a value of the wrong type; it copies
nothing, because a layer does at `send` (`copy_message`, here for whoever writes a layer).

Keys that are ours beyond MESSAGES.md, all of them between a protocol server and `wsgi_bridge.wsgi`
or the worker loop, never of concern to a consumer:

- Body flow. The reader of a request's `body_channel` posts `{"body_window": n}` on the request's
  `reply_channel`: the number of bytes, counted from the first one after those inline in `body`,
  that it is ready to take in all. The server starts with BODY_WINDOW, and with 0 if the client sent
  `Expect: 100-continue`, which is answered at the first `body_window`.
- Response flow. The first response message may carry `flow_channel`, a single-reader channel. The
  server posts `{"sent": n}` there, the content bytes that have left its buffer so far, each time
  that another half of RESPONSE_WINDOW (counting MESSAGE_COST for each message) has, and
  `{"closed": True}` when the client went away.
- A response that breaks off after its head: `{"closed": True}` on the `reply_channel`. The server
  closes the connection without completing the framing, so that the client can tell.
- `ack`: the worker loop may merge `{"ack": order}` into the last answer that it sends to a
  WebSocket's reply channel.

No state and no I/O here.
"""

from __future__ import annotations

from typing import Any, TypedDict, TypeVar, cast

from wsgi_bridge.copying import copy_message
from wsgi_bridge.exceptions import InvalidMessage

__all__ = [
    "BODY_WINDOW",
    "MAX_WINDOW",
    "MESSAGE_COST",
    "RESPONSE_WINDOW",
    "Ack",
    "BodyWindow",
    "Delay",
    "EarlyHints",
    "GroupEvent",
    "Headers",
    "HttpBodyChunk",
    "HttpDisconnect",
    "HttpRequest",
    "HttpResponse",
    "ResponseFlow",
    "WebsocketAnswer",
    "WebsocketConnect",
    "WebsocketDisconnect",
    "WebsocketReceive",
    "copy_message",
    "delay",
    "group_event",
    "http_body_chunk",
    "http_disconnect",
    "http_request",
    "http_response",
    "websocket_answer",
    "websocket_connect",
    "websocket_disconnect",
    "websocket_receive",
]

#: Bytes of a request's body that the server sends before it hears of a `body_window`.
BODY_WINDOW = 65_536

#: Bytes of a response's content that may be under way between the app and the client's socket.
RESPONSE_WINDOW = 262_144

#: Bytes that one response message costs the window beside its content: about what it takes in
#: memory, so that a million chunks of one byte are bounded too.
MESSAGE_COST = 512

#: Pairs of name and value. Pairs may be tuples when sent; they arrive as lists.
Headers = list[list[bytes]] | list[tuple[bytes, bytes]]

Address = list[str | int] | tuple[str, int]


class _HttpRequestRequired(TypedDict):
    reply_channel: str
    http_version: str
    method: str
    path: str
    query_string: bytes
    headers: Headers


class HttpRequest(_HttpRequestRequired, total=False):
    """`http.request`: server → consumer. `headers` has lower case names."""

    scheme: str
    raw_path: bytes
    root_path: str
    body: bytes
    body_channel: str
    client: Address
    server: Address
    variables: dict[str, str]


class HttpBodyChunk(TypedDict, total=False):
    """A chunk on `body_channel`; with `closed`, the client went away and it is the last."""

    content: bytes
    more_content: bool
    closed: bool


class BodyWindow(TypedDict):
    """On the request's `reply_channel`, from whoever reads `body_channel`."""

    body_window: int


class EarlyHints(TypedDict):
    """On `reply_channel`, before the response: fields of a 103."""

    early_hints: Headers


class HttpResponse(TypedDict, total=False):
    """On `reply_channel`: the first one has `status` and `headers`, later ones the rest only."""

    status: int
    headers: Headers
    content: bytes
    more_content: bool
    flow_channel: str
    closed: bool


class ResponseFlow(TypedDict, total=False):
    """On `flow_channel`, from the server: one of the two."""

    sent: int
    closed: bool


class HttpDisconnect(TypedDict):
    """`http.disconnect`: the client went away before the response was complete."""

    reply_channel: str
    path: str


class _WebsocketConnectRequired(TypedDict):
    reply_channel: str
    path: str
    query_string: bytes
    headers: Headers
    order: int


class WebsocketConnect(_WebsocketConnectRequired, total=False):
    """`websocket.connect`: the opening handshake, which is held until the answer. `order` is 0."""

    scheme: str
    raw_path: bytes
    root_path: str
    client: Address
    server: Address
    variables: dict[str, str]
    subprotocols: list[str]


# The functional form, because a key named `bytes` would hide the type in a class body.
_Data = TypedDict(  # noqa: UP013
    "_Data", {"text": "str | None", "bytes": "bytes | None"}, total=False
)


class WebsocketReceive(_Data):
    """`websocket.receive`: exactly one of `text` and `bytes` is there and not None."""

    reply_channel: str
    path: str
    order: int


class WebsocketDisconnect(TypedDict):
    """`websocket.disconnect`: the connection is over, whoever closed it."""

    reply_channel: str
    path: str
    code: int
    order: int
    reason: str


class WebsocketAnswer(_Data, total=False):
    """On `reply_channel`, from a consumer; which keys do what is a table in MESSAGES.md 3."""

    accept: bool
    close: bool | int
    subprotocol: str
    headers: Headers
    reason: str
    status: int
    content: bytes
    ack: int
    window: int


class Ack(TypedDict):
    """On `reply_channel`, from the worker loop: the event of this `order` has been handled."""

    ack: int


class _DelayRequired(TypedDict):
    channel: str


class Delay(_DelayRequired, total=False):
    """`asgi.delay`: `content` goes to `channel` in `delay` ms; `id` cancels or replaces it.

    `at` is in seconds since the epoch, `every` in ms; with `cancel` nothing is sent.
    """

    content: dict[str, Any]
    delay: int
    at: float
    every: int
    id: str
    cancel: bool


class GroupEvent(TypedDict):
    """`group.join`, `group.leave`: worker → consumer. `order` grows from event to event."""

    group: str
    id: str | int
    data: dict[str, Any]
    order: int


#: Events of one socket that may be unacknowledged at most, whatever an answer says: fewer than the
#: 100 messages that a channel holds unless told, so that one socket alone cannot fill it.
MAX_WINDOW = 64

_Types = tuple[type, ...]
_Message = TypeVar("_Message")

_STR = (str,)
_BYTES = (bytes,)
_INT = (int,)
_LIST = (list, tuple)

#: Key → the types that it may have, for every format: a key means the same in all of them.
_KEY_TYPES: dict[str, _Types] = {
    "accept": (bool,),
    "ack": _INT,
    "body": _BYTES,
    "body_channel": _STR,
    "bytes": _BYTES,
    "channel": _STR,
    "client": _LIST,
    "close": (bool, int),
    "closed": (bool,),
    "code": _INT,
    "content": _BYTES,
    "delay": _INT,
    "flow_channel": _STR,
    "headers": _LIST,
    "http_version": _STR,
    "id": _STR,
    "method": _STR,
    "more_content": (bool,),
    "order": _INT,
    "path": _STR,
    "query_string": _BYTES,
    "raw_path": _BYTES,
    "reason": _STR,
    "reply_channel": _STR,
    "root_path": _STR,
    "scheme": _STR,
    "server": _LIST,
    "status": _INT,
    "subprotocol": _STR,
    "subprotocols": _LIST,
    "text": _STR,
    "variables": (dict,),
    "window": _INT,
}


def _build(keys: dict[str, Any]) -> dict[str, Any]:
    """Return `keys` without those that are None, checked against _KEY_TYPES."""
    message = {}
    for key, value in keys.items():
        if value is None:
            continue
        expected = _KEY_TYPES[key]
        kind = type(value)
        # A bool is an int to isinstance, but a status of True is a mistake.
        if kind not in expected and (kind is bool or not isinstance(value, expected)):
            names = " or ".join(each.__name__ for each in expected)
            raise InvalidMessage(f"{key} is {value!r} of type {kind.__name__}: expected {names}")
        message[key] = value
    return message


def _require(message: dict[str, Any], *keys: str) -> None:
    for key in keys:
        if key not in message:
            raise InvalidMessage(f"{key} is None: expected a {_KEY_TYPES[key][0].__name__}")


def http_request(
    *,
    reply_channel: str,
    http_version: str,
    method: str,
    path: str,
    query_string: bytes,
    headers: Headers,
    scheme: str = "http",
    raw_path: bytes | None = None,
    root_path: str = "",
    body: bytes = b"",
    body_channel: str | None = None,
    client: Address | None = None,
    server: Address | None = None,
    variables: dict[str, str] | None = None,
) -> HttpRequest:
    """Return an `http.request`; raises InvalidMessage. Source: MESSAGES.md section 2."""
    message = _build(locals())
    _require(message, "reply_channel", "http_version", "method", "path", "query_string", "headers")
    return cast(HttpRequest, message)


def http_body_chunk(
    *, content: bytes = b"", more_content: bool = False, closed: bool | None = None
) -> HttpBodyChunk:
    """Return a chunk of a request's body; raises InvalidMessage. Source: section 2."""
    return cast(HttpBodyChunk, _build(locals()))


def http_response(
    *,
    status: int | None = None,
    headers: Headers | None = None,
    content: bytes = b"",
    more_content: bool = False,
    flow_channel: str | None = None,
) -> HttpResponse:
    """Return a response message: the first one with `status` and `headers`, later ones without.

    Raises InvalidMessage. Source: MESSAGES.md section 2.
    """
    message = _build(locals())
    if (status is None) != (headers is None):
        raise InvalidMessage("status and headers: expected both (the first message) or neither")
    return cast(HttpResponse, message)


def http_disconnect(*, reply_channel: str, path: str) -> HttpDisconnect:
    """Return an `http.disconnect`; raises InvalidMessage. Source: MESSAGES.md section 2."""
    message = _build(locals())
    _require(message, "reply_channel", "path")
    return cast(HttpDisconnect, message)


def websocket_connect(
    *,
    reply_channel: str,
    path: str,
    query_string: bytes,
    headers: Headers,
    scheme: str = "ws",
    raw_path: bytes | None = None,
    root_path: str = "",
    client: Address | None = None,
    server: Address | None = None,
    variables: dict[str, str] | None = None,
    subprotocols: list[str] | None = None,
    order: int = 0,
) -> WebsocketConnect:
    """Return a `websocket.connect`; raises InvalidMessage. Source: MESSAGES.md section 3."""
    message = _build(locals())
    _require(message, "reply_channel", "path", "query_string", "headers")
    return cast(WebsocketConnect, message)


def websocket_receive(
    *,
    reply_channel: str,
    path: str,
    order: int,
    text: str | None = None,
    bytes: bytes | None = None,  # noqa: A002 (the draft's word)
) -> WebsocketReceive:
    """Return a `websocket.receive`, of exactly one of `text` and `bytes`, `order` from 1.

    Raises InvalidMessage. Source: MESSAGES.md section 3.
    """
    message = _build(locals())
    _require(message, "reply_channel", "path", "order")
    if (text is None) == (bytes is None):
        raise InvalidMessage("text and bytes: expected exactly one that is not None")
    return cast(WebsocketReceive, message)


def websocket_disconnect(
    *, reply_channel: str, path: str, order: int, code: int, reason: str = ""
) -> WebsocketDisconnect:
    """Return a `websocket.disconnect`; raises InvalidMessage. Source: MESSAGES.md section 3."""
    message = _build(locals())
    _require(message, "reply_channel", "path", "order", "code")
    return cast(WebsocketDisconnect, message)


def websocket_answer(
    *,
    accept: bool | None = None,
    text: str | None = None,
    bytes: bytes | None = None,  # noqa: A002 (the draft's word)
    close: bool | int | None = None,
    subprotocol: str | None = None,
    headers: Headers | None = None,
    reason: str | None = None,
    status: int | None = None,
    content: bytes | None = None,
) -> WebsocketAnswer:
    """Return an answer of a consumer, of one of `text` and `bytes` at most.

    Raises InvalidMessage. Source: the table of MESSAGES.md section 3.
    """
    message = _build(locals())
    if text is not None and bytes is not None:
        raise InvalidMessage("text and bytes: expected one of them at most")
    return cast(WebsocketAnswer, message)


def delay(
    *,
    channel: str,
    delay: int,
    content: dict[str, Any],
    id: str | None = None,  # noqa: A002 (MESSAGES.md)
) -> Delay:
    """Return an `asgi.delay`: `delay` is in ms. Raises InvalidMessage. Source: section 4."""
    if not isinstance(content, dict):
        raise InvalidMessage(f"content is {content!r}: expected a dict, the delayed message")
    message = _build({"channel": channel, "delay": delay, "id": id})
    _require(message, "channel", "delay")
    return cast(Delay, {**message, "content": content})


def group_event(
    *,
    group: str,
    id: str | int,  # noqa: A002 (MESSAGES.md)
    data: dict[str, Any],
    order: int,
) -> GroupEvent:
    """Return a `group.join` or `group.leave`. Raises InvalidMessage. Source: section 4."""
    if not isinstance(group, str) or not isinstance(data, dict):
        raise InvalidMessage(f"group {group!r}, data {data!r}: expected a name and a dict")
    if type(id) not in (str, int) or type(order) is not int:
        raise InvalidMessage(f"id {id!r}, order {order!r}: expected text or int, and an int")
    return {"group": group, "id": id, "data": data, "order": order}
