"""Sessions of sockets: what the consumers of a socket share, in whatever process each of them runs.

    @channel_session
    def on_message(message):
        message.channel_session["count"] = message.channel_session.get("count", 0) + 1

What it is: the `channel_session` of Django Channels 1.1, kept in the storage of the channel layer.
What it is not: the session of a visitor (`wsgi_bridge.http_sessions`), or a cache.

Rules:
- It is loaded when it is first touched, and saved when the consumer has ended, if it has changed,
  in the depth too. That is before the acknowledgement of the event goes out, so that whoever
  handles the next event of the socket sees it.
- A consumer that failed, or put its message off, has changed nothing.
- It belongs to its reply channel, and is gone `expiry` seconds after the socket. Consumers of
  `websocket.disconnect` still find it; what they change is not kept.
- Two consumers may have it at once (`window=`, or a job that was given the reply channel): what
  each of them changed is put on top of what is there, key by key, and of one key the last one
  counts. `change` is for those that build on what is there, such as a counter.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgpack

from wsgi_bridge.consumers import Message
from wsgi_bridge.copying import copy_message
from wsgi_bridge.exceptions import InvalidMessage, MessageTooLarge
from wsgi_bridge.outbox import current_outbox

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer

__all__ = ["ChannelSession", "channel_session", "open_session"]

#: Seconds that a session lives after it was saved, or read when half of them were over. It ends
#: with its socket; this bounds what is saved by a consumer that outlives the socket, and is longer
#: than any socket is silent.
LIFETIME = 30 * 86400.0

DISCONNECT = "websocket.disconnect"

Data = dict[str, Any]


class ChannelSession(MutableMapping[str, Any]):
    """The session of one socket, as one consumer has it. Keys are str, values those of messages.

    Methods raise what `layer.storage` does: ChannelLayerUnavailable, and NotImplementedError if the
    layer has none. Each blocks on the layer's backend when the session is not loaded yet.
    """

    def __init__(self, layer: BaseLayer, reply_channel: str, *, is_over: bool = False) -> None:
        """Name the session of a socket; if that `is_over`, nothing is saved any more."""
        self._layer = layer
        self._owner = reply_channel
        self._key = f"channel_session {reply_channel}"
        self._is_over = is_over
        self._data: Data | None = None
        self._handshake: Data | None = None
        # What of it the storage has: the data, packed, so that a change in the depth is seen; the
        # version, None if unknown; whether it has had any; when it was saved.
        self._packed = b""
        self._version: int | None = 0
        self._was_stored = False
        self._saved_at = 0.0
        self._has_new_handshake = False

    def save(self) -> bool:
        """Save what has changed, now; return whether anything had.

        Not needed but to have it saved although the consumer fails later. Raise InvalidMessage and
        MessageTooLarge for values that the layer does not carry.
        """
        if self._data is None or self._is_over:
            return False
        mine = self._check(self._data)
        if _pack(mine) == self._packed and not self._has_new_handshake and not self._is_old():
            return False
        packed = self._packed
        self._write(mine, lambda theirs: _merge(msgpack.unpackb(packed), mine, theirs))
        return True

    def change(self, function: Callable[[Data], object]) -> None:
        """Save what has changed; then call `function(data)` and save what it makes of the data.

        Whoever else saves at the same time: it is called again with what they saved, until nobody
        did meanwhile. So `function` should do nothing else.
        """
        data = self._get()
        if self._is_over:
            function(data)
            return
        self.save()

        def changed(theirs: Data) -> Data:
            function(theirs)
            return self._check(theirs)

        self._version = None
        self._write({}, changed)

    @property
    def handshake(self) -> Data | None:
        """What `http_session` keeps of the opening handshake, beside the session's own keys."""
        self._get()
        return self._handshake

    @handshake.setter
    def handshake(self, kept: Data) -> None:
        self._get()
        self._handshake = kept
        self._has_new_handshake = True

    # Storage

    def _get(self) -> Data:
        """Return the data, loaded unless they are."""
        if self._data is None:
            self._data = self._load()
            self._packed = _pack(self._data)
        return self._data

    def _load(self) -> Data:
        """Return the data that are stored, and note what else is."""
        value, self._version = self._layer.storage.load(self._key)
        if value is None:
            return {}
        self._was_stored = True
        self._saved_at = value["saved_at"]
        if not self._has_new_handshake:
            self._handshake = value["handshake"]
        data: Data = value["data"]
        return data

    def _write(self, data: Data, merge: Callable[[Data], Data]) -> None:
        """Save `data`, or `merge(what is stored)` if that is not known to be what was loaded.

        Does so until nobody else has saved meanwhile.
        """
        while True:
            if self._version is None:
                data = merge(self._load())
            # One that is gone went with its socket, or with all that the layer had. It stays gone:
            # nobody would end it.
            is_gone = self._was_stored and self._version == 0
            if is_gone or self._save(data):
                break
            self._version = None
        if self._data != data:
            self._data = data
        self._packed = _pack(data)
        self._has_new_handshake = False
        self._version = None

    def _save(self, data: Data) -> bool:
        now = self._layer.clock()
        value = {"data": data, "handshake": self._handshake, "saved_at": now}
        is_saved = self._layer.storage.save(
            self._key,
            value,
            ttl=LIFETIME,
            owner=self._owner,
            expected_version=self._version,
        )
        if is_saved:
            self._was_stored = True
            self._saved_at = now
        return is_saved

    def _is_old(self) -> bool:
        return self._was_stored and self._layer.clock() - self._saved_at > LIFETIME / 2

    def _check(self, data: Data) -> Data:
        """Return a copy of the data, of plain types; raise what says that the layer has none."""
        try:
            return copy_message(data, self._layer.max_message_size)
        except InvalidMessage as exc:
            raise InvalidMessage(f"the channel session cannot be saved: {exc}") from exc
        except MessageTooLarge as exc:
            raise MessageTooLarge(f"the channel session cannot be saved: {exc}") from exc

    # A mapping

    def __getitem__(self, key: str) -> Any:
        return self._get()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._get()[key] = value

    def __delitem__(self, key: str) -> None:
        del self._get()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._get())

    def __len__(self) -> int:
        return len(self._get())

    def __repr__(self) -> str:
        # No values: they have no place in a log.
        return f"<ChannelSession of {self._owner}>"


def channel_session(consumer: Callable[..., Any]) -> Callable[..., Any]:
    """Give a consumer the session of its socket, `message.channel_session`; save it at the end.

    For functions. A generic class has the attribute `channel_session = True` instead. The message
    has to have a reply channel: those of a WebSocket do, and those of a channel of your own do if
    they are sent with the key `reply_channel`. Consumers raise ValueError without.
    """
    check_function("channel_session", consumer)

    @functools.wraps(consumer)
    def with_session(message: Message, /, *args: Any, **kwargs: Any) -> Any:
        with open_session(message):
            return consumer(message, *args, **kwargs)

    return with_session


@contextmanager
def open_session(message: Message) -> Iterator[ChannelSession]:
    """Give `message` its session during the block, and save it after that, unless that raises.

    Within another such block that one's session is yielded, and saved there.
    """
    check_message("channel_session", message)
    outer = vars(message).get("channel_session")
    if outer is not None:
        yield outer
        return
    session = message.channel_session = _session_of(message)
    try:
        yield session
        if not is_given_up():
            session.save()
    finally:
        del message.channel_session


def is_given_up() -> bool:
    """Say whether the consumer took too long, and nobody waits for it any more."""
    outbox = current_outbox.get()
    return outbox is not None and outbox.is_shut


def check_function(name: str, consumer: object) -> None:
    """Raise TypeError for what a decorator of consumers cannot decorate."""
    if isinstance(consumer, type):
        raise TypeError(f"@{name} is for functions: in a class, set the attribute of that name")
    if not callable(consumer):
        raise TypeError(f"@{name}: {consumer!r}; expected a consumer")


def check_message(name: str, message: object) -> None:
    """Raise TypeError for what a decorated function was called with in place of a message."""
    if not isinstance(message, Message):
        raise TypeError(
            f"@{name}: called with {type(message).__name__}; expected a Message first. "
            "For methods, set the attribute of that name in their class"
        )


def _session_of(message: Message) -> ChannelSession:
    channel, reply = message.channel_name, message.get("reply_channel")
    if channel.startswith("http."):
        raise ValueError(
            f"channel_session: {channel} is about a request; expected a message of a WebSocket. "
            "What lasts from request to request is in http_session"
        )
    if reply is None:
        raise ValueError(
            f"channel_session: a message on {channel} without reply_channel; expected the name of "
            f'the socket\'s: Channel({channel!r}).send({{"reply_channel": '
            "message.reply_channel.name, …})"
        )
    return ChannelSession(message.channel_layer, reply, is_over=channel == DISCONNECT)


def _pack(data: Data) -> bytes:
    packed: bytes = msgpack.packb(data)
    return packed


def _merge(base: Data, mine: Data, theirs: Data) -> Data:
    """Return `theirs` with what was changed from `base` to `mine`, key by key."""
    kept = {key: value for key, value in theirs.items() if key in mine or key not in base}
    changed = {
        key: value
        for key, value in mine.items()
        if key not in base or _pack({"": base[key]}) != _pack({"": value})
    }
    return {**kept, **changed}
