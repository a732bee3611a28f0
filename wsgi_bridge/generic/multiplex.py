"""Several streams on one WebSocket: JSON frames `{"stream": name, "payload": {…}}`, both ways.

What it is: the demultiplexer and multiplexer of Django Channels 1.1. What it is not: a protocol
with flow control for each stream; the frames of a socket are handled in one order, whichever
stream they are of.

Rules:
- A stream's consumer is a class (usually a JsonWebsocketConsumer) or a function. It sees the
  payload as the text of its message, and gets the keyword `multiplexer`, through which it
  answers; its own `send` raises RuntimeError.
- Every stream sees `websocket.connect` and `websocket.disconnect`, in the order of `consumers`.
  Any of them can refuse the socket by DenyConnection. One that fails on disconnect does not keep
  it from the rest.
- A frame that is no such object, or names an unknown stream, closes the socket with 1007.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, ClassVar

from wsgi_bridge.consumers import Channel, Group, Message
from wsgi_bridge.generic.websocket import (
    INVALID_DATA,
    MULTIPLEXER,
    JsonWebsocketConsumer,
    encode_json,
)

__all__ = ["WebsocketDemultiplexer", "WebsocketMultiplexer"]


class WebsocketMultiplexer:
    """The way back of one stream: wraps payloads in its name and sends them to its socket."""

    def __init__(self, stream: str, reply_channel: Channel) -> None:
        """Answer on `reply_channel` in the name of `stream`."""
        self.stream = stream
        self.reply_channel = reply_channel

    def send(self, payload: Any) -> None:
        """Send a payload on this stream; as `Channel.send`."""
        self.reply_channel.send(self.encode(self.stream, payload))

    @classmethod
    def encode_json(cls, content: Any) -> str:
        """Return the JSON text of a frame; TypeError or ValueError if it has none."""
        return encode_json(content)

    @classmethod
    def encode(cls, stream: str, payload: Any) -> dict[str, Any]:
        """Return the message that sends a payload on a stream."""
        return {"text": cls.encode_json({"stream": stream, "payload": payload})}

    @classmethod
    def group_send(cls, name: str, stream: str, payload: Any, close: bool | int = False) -> None:
        """Send a payload on a stream of every socket in a group."""
        message = cls.encode(stream, payload)
        if close:
            message["close"] = close
        Group(name).send(message)


class WebsocketDemultiplexer(JsonWebsocketConsumer):
    """A WebSocket whose frames go to the consumer of the stream that they name.

    class Everything(WebsocketDemultiplexer):
        consumers = {"chat": Chat, "presence": Presence}
    """

    #: The consumer of each stream.
    consumers: ClassVar[Mapping[str, Callable[..., object]]] = {}
    multiplexer_class: ClassVar[type[WebsocketMultiplexer]] = WebsocketMultiplexer

    def connect(self, message: Message, /, **kwargs: Any) -> None:
        """Accept the socket and tell every stream."""
        self.reply_channel.send({"accept": True})
        for stream in self.consumers:
            self._run(stream, message, kwargs)

    def receive(self, content: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Hand a frame's payload to the consumer of its stream."""
        if not isinstance(content, dict) or not isinstance(content.get("payload"), dict):
            self.reject_frame(INVALID_DATA, "expected a stream and a payload")
            return
        stream = content.get("stream")
        if not isinstance(stream, str) or stream not in self.consumers:
            self.reject_frame(INVALID_DATA, "unknown stream")
            return
        try:
            text = self.encode_json(content["payload"])
        except (ValueError, RecursionError):  # 1e999 decodes, but is no number that JSON has
            self.reject_frame(INVALID_DATA, "expected JSON")
            return
        self._run(stream, self.message.replace(text=text), kwargs)

    def disconnect(self, message: Message, /, **kwargs: Any) -> None:
        """Tell every stream, whatever another one raises; that is raised at the end."""
        with ExitStack() as stack:
            for stream in reversed(list(self.consumers)):  # an exit stack runs backwards
                stack.callback(self._run, stream, message, kwargs)

    def send(self, *_args: Any, **_kwargs: Any) -> None:
        """Raise RuntimeError: no client of this socket expects a frame without a stream."""
        raise RuntimeError("a demultiplexer has no stream of its own; expected multiplexer.send(…)")

    @classmethod
    def group_send(cls, *_args: Any, **_kwargs: Any) -> None:
        """Raise RuntimeError, as `send`."""
        raise RuntimeError("expected WebsocketMultiplexer.group_send(name, stream, payload)")

    def _run(self, stream: str, message: Message, kwargs: Mapping[str, Any]) -> None:
        multiplexer = self.multiplexer_class(stream, self.reply_channel)
        self.consumers[stream](message, **{**kwargs, MULTIPLEXER: multiplexer})
