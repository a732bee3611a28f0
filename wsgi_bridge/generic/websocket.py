"""The events of a WebSocket as methods of a class: plain frames, and JSON.

What it is: the generic WebSocket classes of Django Channels 1.1
(`channels/generic/websockets.py`), without Django. An instance is made for every message and
lives as long as it is handled: state that must outlast it belongs in `channel_session`. What it is
not: a connection. Frames come one at a time and in order whatever class handles them, so
`strict_ordering` is gone.

Where it differs from Channels 1.1:
- `connect` runs before the socket joins its `connection_groups`, and a refused one joins none:
  nothing that is sent to a group reaches a client that `connect` has not let in.
- A frame that is not JSON, is not text, or names no stream, is the client's fault and closes its
  socket (`reject_frame`: 1007, and 1003 for a binary frame) instead of raising.
- The empty text and the empty bytes are frames like any other. `close` takes a reason.

See `wsgi_bridge.generic.multiplex` for several streams on one socket.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from wsgi_bridge.consumers import Channel, Group, Message
from wsgi_bridge.http_sessions import HttpSession
from wsgi_bridge.limits import BACKOFF, RETRIES
from wsgi_bridge.outbox import current_outbox
from wsgi_bridge.routing import Regex, Route, route_class
from wsgi_bridge.sessions import channel_session

__all__ = ["BaseConsumer", "JsonWebsocketConsumer", "WebsocketConsumer"]

#: Close codes of RFC 6455, section 7.4.1, for frames that a consumer cannot take.
UNSUPPORTED_DATA = 1003
INVALID_DATA = 1007
#: The keyword under which a demultiplexer hands its streams their way to answer.
MULTIPLEXER = "multiplexer"


class BaseConsumer:
    """A class to be routed to: calling it with a message makes an instance, which handles it.

    routing = [route_class(Liveblog, path=r"^/liveblog/(?P<slug>[^/]+)/$")]
    """

    #: The method that handles the messages of each channel.
    method_mapping: ClassVar[Mapping[str, str]] = {}
    #: Whether messages have `channel_session`, the session of their socket.
    channel_session: ClassVar[bool] = False
    #: What gives messages `http_session`, such as `wsgi_bridge.contrib.django.http_session_user`.
    http_session: ClassVar[HttpSession | None] = None

    def __init__(self, message: Message, /, **kwargs: Any) -> None:
        """Handle `message`; `kwargs` are the named groups. Raise what the method raises."""
        self.message = message
        self.kwargs = kwargs
        self.path: str = message.get("path", "")
        handle: Callable[..., object] = self.dispatch
        if self.http_session is not None:
            handle = self.http_session(handle)
        if self.channel_session:
            handle = channel_session(handle)
        handle(message, **kwargs)

    @classmethod
    def channel_names(cls) -> set[str]:
        """Return the channels that the class handles messages of."""
        return set(cls.method_mapping)

    @classmethod
    def as_route(
        cls,
        attrs: Mapping[str, Any] | None = None,
        /,
        *,
        on_error: str = "close",
        timeout: float | None = None,
        retries: int = RETRIES,
        backoff: float = BACKOFF,
        window: int = 1,
        **filters: Regex,
    ) -> Route:
        """Return a route to this class, or to a subclass with these class attributes."""
        consumer = cls
        if attrs:
            consumer = type(cls.__name__, (cls,), {"__module__": cls.__module__, **attrs})
        return route_class(
            consumer,
            on_error=on_error,
            timeout=timeout,
            retries=retries,
            backoff=backoff,
            window=window,
            **filters,
        )

    def dispatch(self, message: Message, /, **kwargs: Any) -> None:
        """Call the method that `method_mapping` names for the channel of the message."""
        getattr(self, self.method_mapping[message.channel_name])(message, **kwargs)


class WebsocketConsumer(BaseConsumer):
    """The events of a WebSocket: override `connect`, `receive` and `disconnect`.

    `groups`, or `connection_groups`, names the groups that the socket is in while it is open.
    """

    method_mapping: ClassVar[Mapping[str, str]] = {
        "websocket.connect": "raw_connect",
        "websocket.receive": "raw_receive",
        "websocket.disconnect": "raw_disconnect",
    }
    groups: ClassVar[Iterable[str]] = ()

    @property
    def reply_channel(self) -> Channel:
        """The channel to this socket."""
        channel = self.message.reply_channel
        if channel is None:
            raise ValueError(f"{self.message!r} has no reply channel; expected a websocket message")
        return channel

    def connection_groups(self, **kwargs: Any) -> Iterable[str]:  # noqa: ARG002 (for overriding)
        """Return the names of the groups to be in; `kwargs` are the named groups of the route."""
        return self.groups or ()

    def raw_connect(self, message: Message, /, **kwargs: Any) -> None:
        """Ask `connect`, then join the groups unless it refused."""
        self.connect(message, **kwargs)
        if not self._is_refused():
            for group in self.connection_groups(**kwargs):
                Group(group, message.channel_layer).add(self.reply_channel)

    def connect(self, message: Message, /, **kwargs: Any) -> None:  # noqa: ARG002
        """Accept the socket. Override to look first: `close()` or DenyConnection refuses it."""
        if MULTIPLEXER not in self.kwargs:  # a stream's socket is accepted by its demultiplexer
            self.reply_channel.send({"accept": True})

    def raw_receive(self, message: Message, /, **kwargs: Any) -> None:
        """Hand the frame to `receive`."""
        text = message.get("text")
        if text is not None:
            self.receive(text=text, **kwargs)
        else:
            self.receive(bytes=message["bytes"], **kwargs)

    def receive(
        self,
        text: str | None = None,
        bytes: bytes | None = None,  # noqa: A002
        **kwargs: Any,
    ) -> None:
        """Handle a frame: one of `text` and `bytes` is not None. Override; this ignores it."""

    def raw_disconnect(self, message: Message, /, **kwargs: Any) -> None:
        """Leave the groups, then call `disconnect`, even if that failed."""
        try:
            for group in self.connection_groups(**kwargs):
                Group(group, message.channel_layer).discard(self.reply_channel)
        finally:
            self.disconnect(message, **kwargs)

    def disconnect(self, message: Message, /, **kwargs: Any) -> None:
        """Handle the end of the socket; `message["code"]` says why. Override; this does nothing."""

    def send(
        self,
        text: str | None = None,
        bytes: bytes | None = None,  # noqa: A002
        close: bool | int = False,
    ) -> None:
        """Send a frame to this socket, then close it if `close` is True (1000) or a close code.

        Raise ValueError unless exactly one of `text` and `bytes` is given, and RuntimeError for a
        stream of a demultiplexer, which answers with `self.kwargs["multiplexer"].send`.
        """
        if MULTIPLEXER in self.kwargs:
            raise RuntimeError(f"{type(self).__name__} is a stream; expected multiplexer.send(…)")
        self.reply_channel.send(frame(text, bytes, close))

    @classmethod
    def group_send(
        cls,
        name: str,
        text: str | None = None,
        bytes: bytes | None = None,  # noqa: A002
        close: bool | int = False,
    ) -> None:
        """Send a frame to every socket in a group; as `send`."""
        Group(name).send(frame(text, bytes, close))

    def close(self, status: int | bool | None = None, reason: str | None = None) -> None:
        """Close the socket with a close code, 1000 unless given; refuse one that is connecting."""
        answer: dict[str, Any] = {"close": True if status is None else status}
        if reason is not None:
            answer["reason"] = reason
        self.reply_channel.send(answer)

    def reject_frame(self, status: int, reason: str) -> None:
        """Close the socket because of a frame that the class cannot take. Override to be kinder."""
        self.close(status, reason)

    def _is_refused(self) -> bool:
        outbox = current_outbox.get()
        answer = outbox.answer(self.reply_channel.name) if outbox is not None else None
        if answer is None:
            return False
        if "accept" in answer:
            return not answer["accept"]
        return bool(answer.get("close")) and answer.get("text") is answer.get("bytes") is None


class JsonWebsocketConsumer(WebsocketConsumer):
    """A WebSocket whose frames are JSON texts: `receive` and `send` see the values."""

    def raw_receive(self, message: Message, /, **kwargs: Any) -> None:
        """Decode the frame and hand the value to `receive`; close the socket if it is not JSON."""
        text = message.get("text")
        if text is None:
            self.reject_frame(UNSUPPORTED_DATA, "expected a text frame")
            return
        try:
            content = self.decode_json(text)
        except (ValueError, RecursionError):  # RecursionError: lists nested ten thousand deep
            self.reject_frame(INVALID_DATA, "expected JSON")
            return
        self.receive(content, **kwargs)

    def receive(self, content: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Handle a decoded frame. Override; this ignores it."""

    def send(self, content: Any, close: bool | int = False) -> None:  # type: ignore[override]
        """Send a value to this socket; see `WebsocketConsumer.send`."""
        super().send(text=self.encode_json(content), close=close)

    @classmethod
    def group_send(cls, name: str, content: Any, close: bool | int = False) -> None:  # type: ignore[override]
        """Send a value to every socket in a group."""
        WebsocketConsumer.group_send(name, text=cls.encode_json(content), close=close)

    @classmethod
    def decode_json(cls, text: str) -> Any:
        """Return the value of a JSON text; ValueError if it is none."""
        return json.loads(text, parse_constant=_refuse_constant)

    @classmethod
    def encode_json(cls, content: Any) -> str:
        """Return the JSON text of a value; TypeError or ValueError if it has none."""
        return encode_json(content)


def encode_json(content: Any) -> str:
    """Return compact JSON. NaN raises ValueError: a browser would refuse the whole frame."""
    return json.dumps(content, allow_nan=False, separators=(",", ":"))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def frame(text: str | None, data: bytes | None, close: bool | int) -> dict[str, Any]:
    """Return the message that sends one frame; ValueError unless one of text and data is given."""
    if (text is None) is (data is None):
        raise ValueError(f"text: {text!r:.40}, bytes: {data!r:.40}; expected exactly one of them")
    message: dict[str, Any] = {"bytes": data} if text is None else {"text": text}
    if close:
        message["close"] = close
    return message
