"""The outbox: what one run of a consumer sends, until it ends; and the layer that sends go to.

What it is: a list of checked copies, the context variable that says whose it is, and the
process's default layer. What it is not: it does not run the consumer, and it neither waits nor
tries again.

Rules:
- Sends go out in the order in which they were made, over all channels and groups. One that fails
  does not stop the next.
- The acknowledgement of a WebSocket event goes out after all of them, whatever became of them
  (MESSAGES.md, section 3: the server holds back the socket's next event until then).
- A thread or greenlet that the consumer started, or that outlives it, does not fill a flushed
  outbox: its sends go out at once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, TypeAlias

from wsgi_bridge.copying import copy_message
from wsgi_bridge.events.consumers import CONSUMER_SEND_FAILED, CONSUMER_SEND_LATE
from wsgi_bridge.exceptions import ChannelLayerError
from wsgi_bridge.names import check_channel, check_group

if TYPE_CHECKING:
    from wsgi_bridge.delays import Later
    from wsgi_bridge.history import History
    from wsgi_bridge.layers.base import BaseLayer
    from wsgi_bridge.outgoing import Outgoing

__all__ = ["Outbox", "current_outbox", "get_default_layer", "layer_in_use", "set_default_layer"]

logger = logging.getLogger(__name__)

#: Where a process finds its layer when no Bridge has opened one.
LAYER_VARIABLE = "CHANNEL_LAYER"
#: The keys that make a message on a reply channel an answer to its socket (MESSAGES.md, section 3).
ANSWER_KEYS = frozenset({"accept", "close", "text", "bytes"})

#: The name and the exception of each send that failed.
Failures: TypeAlias = "list[tuple[str, Exception]]"
Settle: TypeAlias = "Callable[[Outbox, Failures], object]"
#: Where last messages may wait, and what to call if any of them failed.
Outlet: TypeAlias = "tuple[Outgoing, Settle]"

#: Whether a name is a group's; of a group with history, that.
ToGroup: TypeAlias = "bool | History"
#: One send that waits: layer, whether the name is a group's, name, message.
Entry: TypeAlias = "tuple[BaseLayer, ToGroup, str, dict[str, Any]]"

#: The outbox of the consumer being run in this context, if one is.
current_outbox: ContextVar[Outbox | None] = ContextVar("wsgi_bridge.outbox", default=None)

#: The process's layer, if any, under one key: dict.setdefault publishes it once without a lock.
_default: dict[str, BaseLayer] = {}


class Outbox:
    """What one run of one consumer sends. Owned by the worker that runs it, and used once.

    `with outbox:` makes it the one that `Channel.send` and `Group.send` fill; `flush` sends it
    all. After `flush` it keeps nothing: sends that still come (a greenlet that the consumer left
    running) go out at once.

        outbox = Outbox(layer)
        try:
            with outbox:
                consumer(message, **kwargs)
        finally:
            failures = outbox.flush(ack=(reply_channel, order))
    """

    #: The reply channel and the order of the event, as given to `flush`.
    ack: tuple[str, int] | None = None
    #: Whether the acknowledgement given to `flush` reached the layer.
    acknowledged = False
    #: Whether what is still sent is dropped.
    is_shut = False
    # Most runs need none of these.
    _sent: list[Entry] | None = None
    _later: list[Later] | None = None
    _flushed = False
    _outgoing: Outgoing | None = None  # where our last messages may wait
    # Of those messages: their names, whom to tell, whether the last has the acknowledgement.
    _pending: tuple[list[tuple[str, dict[str, Any]]], Settle, bool]
    _token: Token[Outbox | None] | None = None

    def __init__(self, layer: BaseLayer, sender: str = "") -> None:
        self.layer = layer
        #: What logs call the consumer.
        self.sender = sender
        self._entries: list[Entry] = []

    def __enter__(self) -> Outbox:
        self._token = current_outbox.set(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._token is not None:
            current_outbox.reset(self._token)
            self._token = None

    def send(self, channel: str, message: Mapping[str, Any]) -> None:
        """Put a copy of `message` for `channel` in the outbox. Does not block.

        Raise InvalidName, InvalidMessage or MessageTooLarge.
        """
        check_channel(channel)
        self.post(self.layer, False, channel, message)

    def send_group(self, group: str, message: Mapping[str, Any]) -> None:
        """Put a copy of `message` for the members of `group` in the outbox, like `send`."""
        check_group(group)
        self.post(self.layer, True, group, message)

    def post(
        self,
        layer: BaseLayer,
        to_group: ToGroup,
        name: str,
        message: Any,
        immediately: bool = False,
    ) -> None:
        """Put a copy of `message`, a dict, in the outbox, or send it now. `name` was checked."""
        if not (immediately or self._flushed):
            copied = copy_message(message, layer.max_message_size)
            self._entries.append((layer, to_group, name, copied))
            return
        if self.is_shut:
            CONSUMER_SEND_LATE.log(
                logger,
                "dropped: a message to %(channel)s, of a consumer's run that is over",
                cause="run is over",
                channel=name,
            )
            return
        if self._outgoing is not None:
            self._outgoing.put()
        deliver(layer, to_group, name, message)
        if not to_group and not ANSWER_KEYS.isdisjoint(message):
            self._sent = self._sent or []
            self._sent.append((layer, False, name, dict(message)))

    def post_later(self, later: Later, immediately: bool = False) -> None:
        """Put a message for later in the outbox, or on its layer's timetable now."""
        if not (immediately or self._flushed):
            self._later = [*(self._later or ()), later]
        elif self.is_shut:
            CONSUMER_SEND_LATE.log(
                logger,
                "dropped: a message to %(channel)s, of a consumer's run that is over",
                cause="run is over",
                channel=later.name,
            )
        else:
            later.schedule()

    def withdraw_later(self, channel: str, key: str) -> bool:
        """Drop a message for later that waits here; whether there was one."""
        before = self._later or []
        self._later = [each for each in before if (each.channel, each.full_key) != (channel, key)]
        return len(self._later) < len(before)

    def answer(self, reply_channel: str) -> Mapping[str, Any] | None:
        """Return the first message that answers this socket (sent, or waiting here), or None."""
        for entries in (self._sent or (), self._entries):
            for _, to_group, name, message in entries:
                if name == reply_channel and not to_group and not ANSWER_KEYS.isdisjoint(message):
                    return message
        return None

    def answered(self, reply_channel: str) -> bool:
        """Say whether anything with accept, close, text or bytes was sent to this socket."""
        return self.answer(reply_channel) is not None

    def widen(self, reply_channel: str, window: int) -> None:
        """Have this socket's server let `window` events go unacknowledged (MESSAGES.md 3).

        Said in the answer to its handshake, or after that one if it is out already.
        """
        for _, to_group, name, message in self._entries:
            if name == reply_channel and not to_group and not ANSWER_KEYS.isdisjoint(message):
                message["window"] = window
                return
        self.send(reply_channel, {"window": window})

    def withdraw(self, reply_channel: str) -> None:
        """Drop what waits for this channel.

        A socket that is refused after all must not be accepted by what was sent to it before.
        """
        self._entries = [entry for entry in self._entries if entry[1] or entry[2] != reply_channel]

    def shut(self) -> None:
        """Drop, and log, what is sent from here on: nobody waits for it any more."""
        self.is_shut = self._flushed = True

    def flush(
        self, *, ack: tuple[str, int] | None = None, outlet: Outlet | None = None
    ) -> Failures | None:
        """Send everything, in order; return the name and the exception of each send that failed.

        `ack` is the reply channel and the order of the event that was handled. It rides on the
        last message if that one goes to this channel, else on one of its own, after all the
        others: the next event of the socket may be on its way to another worker as soon as it is
        out. It is sent whatever failed before; `acknowledged` says whether that worked. Does not
        block on a receiver.

        With `outlet`, an Outgoing and a function, what goes last may wait for the messages of other
        consumers. If it does, None is returned; if any of that cannot be sent, the function is
        called with this outbox and the failures, and `acknowledged` holds from then on.
        """
        entries, self._entries = self._entries, []
        # Before the first send: what comes from elsewhere from here on goes out at once.
        self._flushed = True
        self.ack = ack
        rides = ack is not None and _add_ack(entries, self.layer, ack)
        failures: Failures = []
        if self._later:
            _schedule_all(self._later, failures)
        if outlet is not None:
            first = _start_of_last(entries, self.layer)
            if first:
                _deliver_all(entries[:first], failures)
                entries = entries[first:]
            if entries and not failures and self._put_off(entries, outlet, rides):
                return None
        delivered = _deliver_all(entries, failures)
        self._settle_ack(rides, delivered, failures)
        return failures

    def _put_off(self, entries: list[Entry], outlet: Outlet, rides: bool) -> bool:
        """Have messages to channels of our layer put later, if that may be."""
        outgoing, settle = outlet
        sends = [(name, message) for _, _, name, message in entries]
        self._pending = (sends, settle, rides)
        if not outgoing.add(self.layer, sends, self._fail_late):
            return False
        self._outgoing = outgoing
        return True

    def _fail_late(self, errors: Sequence[Exception | None]) -> None:
        """Take note of what failed of the messages that were put off."""
        sends, settle, rides = self._pending
        failures = [
            (name, error)
            for (name, _), error in zip(sends, errors, strict=True)
            if error is not None
        ]
        self._settle_ack(rides, errors[-1] is None, failures)
        settle(self, failures)

    def _settle_ack(self, rides: bool, delivered: bool, failures: Failures) -> None:
        """Note whether the acknowledgement, which was last, went out; if not, try it alone."""
        ack = self.ack
        if ack is None:
            return
        self.acknowledged = delivered
        if not delivered:
            alone: Entry = (self.layer, False, ack[0], {"ack": ack[1]})
            # One that was alone before is in `failures` already.
            self.acknowledged = _try_deliver([alone], failures if rides else [])


def _start_of_last(entries: list[Entry], layer: BaseLayer) -> int:
    """Return where the messages begin, at the end, that all go to channels of this layer."""
    at = len(entries)
    for owner, to_group, _, _ in reversed(entries):
        if to_group or owner is not layer:
            break
        at -= 1
    return at


def _schedule_all(waiting: Sequence[Later], failures: list[tuple[str, Exception]]) -> None:
    """Put messages for later on the timetables of their layers."""
    for later in waiting:
        try:
            later.schedule()
        except ChannelLayerError as exc:
            failures.append((later.name, exc))
        except Exception as exc:  # a third party's layer: the acknowledgement must still go out
            CONSUMER_SEND_FAILED.log(
                logger,
                "scheduling a message to %(channel)r failed",
                cause=exc,
                exc_info=True,
                channel=later.name,
            )
            failures.append((later.name, exc))


def _add_ack(entries: list[Entry], layer: BaseLayer, ack: tuple[str, int]) -> bool:
    """Put the acknowledgement last: in the last message, if it can ride there; say whether."""
    if entries:
        last_layer, to_group, name, message = entries[-1]
        if not to_group and name == ack[0] and last_layer is layer:
            message["ack"] = ack[1]
            return True
    entries.append((layer, False, ack[0], {"ack": ack[1]}))
    return False


def _deliver_all(entries: list[Entry], failures: list[tuple[str, Exception]]) -> bool:
    """Send messages in order, those to channels of one layer together; whether the last one was."""
    if len(entries) == 1:  # most have one: the answer
        return _try_deliver(entries, failures)
    delivered = False
    at = 0
    while at < len(entries):
        end = at + 1
        layer, to_group, *_ = entries[at]
        while not to_group and end < len(entries) and entries[end][:2] == (layer, False):
            end += 1
        delivered = _try_deliver(entries[at:end], failures)
        at = end
    return delivered


def _try_deliver(entries: list[Entry], failures: list[tuple[str, Exception]]) -> bool:
    """Send a message to a group, or some to channels of one layer; whether the last one was.

    A failure is noted and not raised, since others wait behind this one.
    """
    layer, to_group, name, message = entries[0]
    errors: Sequence[Exception | None]
    try:
        if to_group:
            deliver(layer, to_group, name, message)
            return True
        if len(entries) == 1:
            layer.hand_over(name, message)  # a copy that was checked, and is nobody else's
            return True
        errors = layer.hand_over_many([(name, message) for _, _, name, message in entries])
    except ChannelLayerError as exc:
        errors = [exc] * len(entries)
    except Exception as exc:  # a third party's layer: the acknowledgement must still go out
        CONSUMER_SEND_FAILED.log(
            logger, "sending to %(channel)r failed", cause=exc, exc_info=True, channel=name
        )
        errors = [exc] * len(entries)
    for entry, error in zip(entries, errors, strict=True):
        if error is not None:
            failures.append((entry[2], error))
    return errors[-1] is None


def deliver(layer: BaseLayer, to_group: ToGroup, name: str, message: Any) -> None:
    """Send one message, a dict, to a channel or a group. Raise what the layer raises."""
    if to_group is False:
        layer.send(name, message)
    elif to_group is True:
        layer.send_group(name, message)
    else:
        to_group.send_group(layer, name, message)


def set_default_layer(layer: BaseLayer | None) -> None:
    """Make `layer` the one that sends outside a consumer use; None forgets it."""
    if layer is None:
        _default.pop(LAYER_VARIABLE, None)
    else:
        _default[LAYER_VARIABLE] = layer


def maybe_default_layer() -> BaseLayer | None:
    """Return the process's layer, if it has one yet."""
    return _default.get(LAYER_VARIABLE)


def get_default_layer() -> BaseLayer:
    """Return the process's layer; open the one that CHANNEL_LAYER names if there is none yet.

    Raise ChannelLayerError if neither is there.
    """
    layer = _default.get(LAYER_VARIABLE)
    return _open_default_layer() if layer is None else layer


def _open_default_layer() -> BaseLayer:
    url = os.environ.get(LAYER_VARIABLE)
    if not url:
        raise ChannelLayerError(
            f"this process has no channel layer: make a Bridge(…), set {LAYER_VARIABLE} in the "
            "environment to the URL of one, or give one: Channel(name, layer=open_layer(url))"
        )
    from wsgi_bridge.layers import open_layer

    opened = open_layer(url)
    published = _default.setdefault(LAYER_VARIABLE, opened)
    if published is not opened:  # another thread was faster
        opened.close()
    return published


def layer_in_use() -> BaseLayer:
    """Return the layer of the consumer being run, else the process's."""
    outbox = current_outbox.get()
    return get_default_layer() if outbox is None else outbox.layer
