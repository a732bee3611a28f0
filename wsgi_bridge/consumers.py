"""What a consumer holds in its hands: `Message`, `Channel`, `Group`.

What it is: the objects of Django Channels 1.1 over any channel layer, without Django. What it is
not: it routes nothing, catches nothing that a consumer raises, and never waits.

Rules:
- While a consumer runs, what it sends is checked and copied at once (an error is raised on the
  caller's line) and goes out when the consumer ends, also when it fails: see
  `wsgi_bridge.outbox`. `immediately=True` sends at once. So does every send outside a consumer:
  in a WSGI view, a task, a shell, a thread that the consumer started, or anything that outlives
  the consumer.
- `Group.add` and `Group.discard` always take effect at once.
- The layer of a Channel or Group is found when it is used, not when it is made, so that one can
  be made when a module is imported: the layer given; else that of the consumer being run; else
  the process's.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from copy import copy
from datetime import datetime
from typing import TYPE_CHECKING, Any

from wsgi_bridge.delays import DUE, Later, When, cancel, send_later
from wsgi_bridge.exceptions import InvalidName, MessageTooLarge
from wsgi_bridge.history import TTL, History
from wsgi_bridge.names import check_channel, check_group
from wsgi_bridge.outbox import (
    Outbox,
    current_outbox,
    deliver,
    get_default_layer,
    layer_in_use,
    set_default_layer,
)
from wsgi_bridge.presence import (
    GRACE,
    Member,
    Presence,
    arrive,
    depart,
    find_members,
    find_present,
)
from wsgi_bridge.protocols.history import recovery_text

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer
    from wsgi_bridge.layers.storage_base import Position, Recovered
    from wsgi_bridge.sessions import ChannelSession

__all__ = ["Channel", "Group", "Message", "Outbox", "get_default_layer", "set_default_layer"]


class Channel:
    """A named channel of a layer, as consumers and views use it."""

    __slots__ = ("_layer", "name")

    def __init__(self, name: str, layer: BaseLayer | None = None) -> None:
        """Name a channel; InvalidName if it cannot be one. `layer` None: found when it is used."""
        check_channel(name)
        self.name = name
        self._layer = layer

    @property
    def channel_layer(self) -> BaseLayer:
        """The layer that a send would use now."""
        return self._layer or layer_in_use()

    def send(self, content: Mapping[str, Any], immediately: bool = False) -> None:
        """Send a message: when the consumer ends, or now if none runs or `immediately`.

        Raise InvalidMessage or MessageTooLarge; and, when it is sent now, ChannelFull or
        ChannelLayerUnavailable. Does not block on a receiver.
        """
        outbox = current_outbox.get()
        if outbox is None:
            deliver(self.channel_layer, False, self.name, content)
        else:
            layer = self._layer or outbox.layer
            outbox.post(layer, False, self.name, content, immediately)

    def send_later(
        self,
        content: Mapping[str, Any],
        *,
        delay: float | None = None,
        at: float | datetime | None = None,
        every: float | None = None,
        id: str | None = None,  # noqa: A002 (MESSAGES.md)
        immediately: bool = False,
    ) -> str:
        """Send a message after `delay` seconds, or `at` a time; `every` so many seconds again.

        `at` is an aware datetime, or seconds since the epoch. With `every` alone, first after one
        period. Under the same `id` a channel has one message for later: a new one replaces it. One
        that is repeated as often, and named no time, keeps the time of the one before: so each
        process may schedule it when it starts. Returned is the id, a random one unless given.

        It is on the layer's timetable when the consumer ends, or now, as with `send`; on ipc and
        redis it survives every process. A process that runs consumers puts it on the channel when
        it is due. Raise as `send` does, ValueError or TypeError for a time that is none, and
        NotImplementedError on a layer without storage.
        """

        def make(layer: BaseLayer) -> Later:
            when = When.read(layer.clock, delay, at, every)
            return Later.to_channel(layer, self.name, content, when, id)

        return send_later(make, self._layer, immediately)

    def cancel(self, id: str) -> bool:  # noqa: A002
        """Take back the message for later of this id, at once; whether there was one.

        One that was put on the channel already is not taken back.
        """
        return cancel(self._layer, self.name, self.name, id)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Channel({self.name!r})"


class Group:
    """A named set of channels that are sent to at once.

        ROOM = Group("room-lobby", presence=True)
        ORDERS = Group("orders", history=100, ttl=300)

    Whatever uses a group of that name uses it with the same options.
    """

    __slots__ = ("_history", "_layer", "grace", "name", "presence")

    def __init__(
        self,
        name: str,
        layer: BaseLayer | None = None,
        *,
        presence: bool = False,
        grace: float = GRACE,
        history: int = 0,
        ttl: float = TTL,
    ) -> None:
        """Name a group; InvalidName if it cannot be one. `layer` None: found when it is used.

        `presence`: its members are somebody, see `add` and `present`; whose last socket has gone is
        said to have left `grace` seconds later. `history`: so many messages are kept, each for
        `ttl` seconds, for who comes back, see `subscribe` and `recover`. ValueError for numbers
        that cannot be.
        """
        check_group(name)
        self.name = name
        self._layer = layer
        self.presence = presence
        self.grace = grace
        self._history = History(history, ttl) if history else None
        if grace < 0:
            raise ValueError(f"grace is in seconds, 0 or more, not {grace!r}")

    @property
    def channel_layer(self) -> BaseLayer:
        """The layer that a call would use now."""
        return self._layer or layer_in_use()

    def add(self, channel: Channel | Message | str, data: Mapping[str, Any] | None = None) -> None:
        """Make a channel a member at once, or renew its membership.

        A Message stands for its reply channel. `data` are told by `members`, and replace earlier
        ones. In a group with presence they say who the member is, under the key `id`, text or int;
        a member without data is nobody there. Raise InvalidName, InvalidMessage.
        """
        layer, name = self.channel_layer, _member_name(channel)
        if data is None:
            layer.group_add(self.name, name)
        elif self.presence:
            arrive(layer, self.name, name, data, self.grace)
        else:
            layer.storage.group_add(self.name, name, dict(data))

    def discard(self, channel: Channel | Message | str) -> None:
        """End a channel's membership at once. A Message stands for its reply channel.

        A socket that ends leaves its groups without this.
        """
        if self.presence:
            depart(self.channel_layer, self.name, _member_name(channel))
        else:
            self.channel_layer.group_discard(self.name, _member_name(channel))

    def send(self, content: Mapping[str, Any], immediately: bool = False) -> None:
        """Send a message to every member, as `Channel.send` does to one.

        A member that is full loses it, which is counted, not raised; one that comes back to a group
        with history gets it then.
        """
        outbox = current_outbox.get()
        to_group = self._history or True
        if self._history is not None:
            self._history.check(content)
        if outbox is None:
            deliver(self.channel_layer, to_group, self.name, content)
        else:
            layer = self._layer or outbox.layer
            outbox.post(layer, to_group, self.name, content, immediately)

    def send_later(
        self,
        content: Mapping[str, Any],
        *,
        delay: float | None = None,
        at: float | datetime | None = None,
        every: float | None = None,
        id: str | None = None,  # noqa: A002
        immediately: bool = False,
    ) -> str:
        """Send a message to every member later, to those that are members then.

        As `Channel.send_later`.
        """

        def make(layer: BaseLayer) -> Later:
            when = When.read(layer.clock, delay, at, every)
            return Later.to_group(layer, self.name, content, when, id, self._history)

        return send_later(make, self._layer, immediately)

    def cancel(self, id: str) -> bool:  # noqa: A002
        """Take back the message for later of this id, as `Channel.cancel` does."""
        return cancel(self._layer, DUE, self.name, id)

    def channels(self) -> list[str]:
        """Return the names of the members."""
        return list(self.channel_layer.group_channels(self.name))

    # Presence

    def members(self) -> list[Member]:
        """Return the members, each a channel and the data that it was added with, or None."""
        return find_members(self.channel_layer, self.name)

    def present(self) -> list[Presence]:
        """Return who is here: each `id` once, with its data and the channels of its sockets.

        Those who have lost their last socket are here until the grace is over, without a channel,
        if the site has a route for `group.join` or `group.leave`: this agrees with those events.
        """
        return find_present(self.channel_layer, self.name)

    # History

    def position(self) -> Position:
        """Return the place after the last message that was sent.

        Its text is what a page, or a client, is given to come back with.
        """
        return self._need_history().end(self.channel_layer, self.name)

    def recover(self, since: Position | str) -> Recovered:
        """Return where the history ends, and all messages that were sent after a place.

        The messages are None if not all of them are there any more, or if `since` is no place, or
        one from before the layer lost its data. Each has the keys `epoch` and `offset`. `since` may
        come from a client as it is.
        """
        return self._need_history().recover(self.channel_layer, self.name, since)

    def subscribe(
        self,
        channel: Channel | Message | str,
        since: Position | str = "",
        data: Mapping[str, Any] | None = None,
    ) -> Recovered:
        """Make a socket a member, and send it all that it missed since a place; return that.

        What it missed is one frame, also if it is nothing or cannot be told; MESSAGES.md section 3
        has its form. It accepts a socket that is connecting, and comes before every message that is
        sent to the group from now on. `data` are those of `add`.
        """
        history, layer, name = self._need_history(), self.channel_layer, _member_name(channel)
        # In this order: what is sent in between is both, and the client drops it the second time.
        self.add(name, data)
        found = history.recover(layer, self.name, since)
        socket = Channel(name, layer)
        try:
            socket.send({"text": recovery_text(self.name, *found)})
        except MessageTooLarge:
            found = found._replace(messages=None)
            socket.send({"text": recovery_text(self.name, *found)})
        return found

    def _need_history(self) -> History:
        if self._history is None:
            raise ValueError(
                f"this group keeps no history: expected Group({self.name!r}, history=…)"
            )
        return self._history

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Group({self.name!r})"


class Message:
    """A message as its consumer sees it: a mapping of its keys, and the channels around it.

    `content` is the dict itself, the consumer's to change; attributes may be added: those below are
    by the decorators of their names.
    """

    channel_session: ChannelSession
    http_session: Any
    user: Any

    __slots__ = ("__dict__", "_reply_channel", "channel_layer", "channel_name", "content")

    def __init__(
        self, content: dict[str, Any], channel_name: str, channel_layer: BaseLayer
    ) -> None:
        """Wrap `content`, which came on `channel_name` of `channel_layer`."""
        self.content = content
        self.channel_layer = channel_layer
        self.channel_name = channel_name
        self._reply_channel: Channel | None = None

    @property
    def channel(self) -> Channel:
        """The channel that the message came on."""
        return _known_channel(self.channel_name, self.channel_layer)

    @property
    def reply_channel(self) -> Channel | None:
        """The channel that answers go to; None if the message names none."""
        if self._reply_channel is None:
            name = self.content.get("reply_channel")
            if name is None:
                return None
            self._reply_channel = _known_channel(name, self.channel_layer)
        return self._reply_channel

    def replace(self, **changes: Any) -> Message:
        """Return a message like this one, attributes too, whose content has these changes."""
        other = copy(self)
        other.content = {**self.content, **changes}
        return other

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or the default."""
        return self.content.get(key, default)

    def keys(self) -> KeysView[str]:
        """Return the keys."""
        return self.content.keys()

    def values(self) -> ValuesView[Any]:
        """Return the values."""
        return self.content.values()

    def items(self) -> ItemsView[str, Any]:
        """Return the keys with their values."""
        return self.content.items()

    def __getitem__(self, key: str) -> Any:
        return self.content[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.content[key] = value

    def __contains__(self, key: object) -> bool:
        return key in self.content

    def __iter__(self) -> Iterator[str]:
        return iter(self.content)

    def __len__(self) -> int:
        return len(self.content)

    def __repr__(self) -> str:
        # Keys only: bodies, cookies and frames have no place in a log.
        return f"<Message on {self.channel_name} with {', '.join(self.content)}>"


def _known_channel(name: str, layer: BaseLayer) -> Channel:
    """Return a Channel whose name came through a layer, which has checked it."""
    channel = Channel.__new__(Channel)
    channel.name = name
    channel._layer = layer
    return channel


def _member_name(channel: Channel | Message | str) -> str:
    """Return the channel name of what was given to Group.add or Group.discard."""
    member = channel.reply_channel if isinstance(channel, Message) else channel
    if isinstance(member, Channel):
        return member.name
    if isinstance(member, str):
        return member
    raise InvalidName(
        f"{channel!r}; expected a Channel, a channel name, or a Message with a reply channel"
    )
