"""One connection to Redis, and the wire format of the commands that go over it.

A redis-py connection does the dialling, TLS, AUTH and parsing. Commands are packed here, since a
layer packs the same names again and again. Nothing is ever sent twice by itself: a message would be
delivered twice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

from wsgi_bridge.exceptions import ChannelLayerUnavailable

if TYPE_CHECKING:
    from wsgi_bridge.layers.redis.scripts import Script

__all__ = ["Command", "Link", "LinkLost", "command", "pack"]


#: Before 7.0 the error of a command in a script comes inside one of the script.
_in_script = re.compile(r"Error running script .* -(OOM|READONLY) (.*)", re.DOTALL)
_errors = {"OOM": OutOfMemoryError, "READONLY": ReadOnlyError}


class LinkLost(ChannelLayerUnavailable):
    """The connection broke, or could not be made; whether Redis ran the commands is not known."""


class Command(NamedTuple):
    """A command: how many words, the words packed, the script if it runs one.

    Commands with the same `merge_key` may go out as one, with the last words of all: see merge.py.
    """

    words: int
    packed: bytes
    script: Script | None = None
    merge_key: bytes = b""
    last_word: bytes = b""

    @property
    def wire(self) -> bytes:
        """What goes over the connection."""
        return b"*%d\r\n%b" % (self.words, self.packed)


def pack(*words: bytes | float | str) -> bytes:
    """Return words of a command as Redis reads them."""
    parts = []
    for word in words:
        data = word if type(word) is bytes else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def command(*words: bytes | float | str) -> Command:
    """Return a plain command."""
    return Command(len(words), pack(*words))


class Link:
    """A connection in use. One caller at a time."""

    def __init__(self, connection: Any) -> None:
        # A redis-py connection; its types differ between versions.
        self._connection = connection
        try:
            self._connection.connect()
        except (RedisError, OSError) as exc:
            raise LinkLost(f"cannot connect to Redis: {exc}") from exc

    def is_stale(self) -> bool:
        """Whether the server has closed it meanwhile. To be asked before anything is sent."""
        try:
            return bool(self._connection.can_read(timeout=0))
        except (RedisError, OSError):
            return True

    def send(self, commands: Sequence[Command]) -> None:
        """Send commands; their replies are to be read, one for each. Raises LinkLost."""
        data = b"".join([each.wire for each in commands])
        try:
            self._connection.send_packed_command([data], check_health=False)
        except (RedisError, OSError) as exc:
            raise LinkLost(f"the connection to Redis broke: {exc}") from exc

    def read(self) -> Any:
        """Return the next reply; an error reply is returned as a ResponseError.

        Blocks. Raises LinkLost.
        """
        try:
            return self._connection.read_response(disable_decoding=True)
        except ResponseError as exc:
            found = _in_script.match(str(exc))
            return _errors[found[1]](found[2]) if found else exc
        except (RedisError, OSError) as exc:
            raise LinkLost(f"the connection to Redis broke: {exc}") from exc

    def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one pipeline and return their replies. Blocks. Raises LinkLost."""
        self.send(commands)
        return [self.read() for _ in commands]

    def close(self) -> None:
        """Hang up."""
        self._connection.disconnect()
