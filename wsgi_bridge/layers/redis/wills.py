"""Wills, in terms of scripts.

They are on the shard of the reader, by channel. One of those who notice that its process is dead
takes them on for some seconds, puts each message with a mark that it was put, and then buries the
reader, its wills with it. If it dies itself, the next one begins again and puts what has no mark.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from wsgi_bridge.layers.redis.codec import Undecodable
from wsgi_bridge.layers.redis.connection import command
from wsgi_bridge.layers.redis.core import Request
from wsgi_bridge.layers.redis.logs import LogOperations
from wsgi_bridge.layers.redis.scripts import SCRIPTS
from wsgi_bridge.names import reader_of

if TYPE_CHECKING:
    from wsgi_bridge.layers.redis.shard import Shard

__all__ = ["WillOperations"]

#: Milliseconds after which another process executes wills in the place of one that had taken them
#: on: a heartbeat or two.
LEASE = 2000

#: Messages that are put in one pipeline.
CHUNK = 500


class WillOperations(LogOperations):
    """`set_will`, `clear_will`, and their execution."""

    #: What this process has set, sealed, so that it can be told again.
    _wills: dict[str, bytes]

    def _key(self, shard: Shard, suffix: str) -> bytes:
        return shard.keys.key("wills", suffix)

    def _set_will(self, channel: str, messages: list[tuple[str, dict[str, Any]]]) -> None:
        content = self._layer._codec.seal(self._layer.expiry, messages)
        self._wills[channel] = content
        if not self._layer._soon(self._tell, channel):
            self._tell(channel)

    def _tell(self, channel: str) -> None:
        if channel in self._wills:  # it may have been revoked by now
            self._layer._run([self._telling(channel)])

    def _telling(self, channel: str) -> Request:
        queue = self._layer.inbox.queue(reader_of(channel))
        key = self._key(queue.shard, queue.keys.suffix)
        field = self._layer._codec.hashed(channel)
        return queue.shard, command("HSET", key, field, self._wills[channel])

    def _clear_will(self, channel: str) -> None:
        if not self._layer._soon(self._clear_now, channel):
            self._clear_now(channel)

    def _clear_now(self, channel: str) -> None:
        self._layer._run([self.revoking(channel)])

    def revoking(self, channel: str) -> Request:
        """Return what revokes a will."""
        self._wills.pop(channel, None)
        queue = self._layer.inbox.queue(reader_of(channel))
        key = self._key(queue.shard, queue.keys.suffix)
        return queue.shard, command("HDEL", key, self._layer._codec.hashed(channel))

    def announcing(self, readers: set[str]) -> list[Request]:
        """Return what tells Redis again of the wills of this process: it has forgotten."""
        return [
            self._telling(channel) for channel in list(self._wills) if reader_of(channel) in readers
        ]

    # Execution.

    def execute(self, shard: Shard, suffix: str, token: bytes, process: str) -> Request | None:
        """Execute the wills of a dead process's reader, and return what removes them.

        None if that is not for this process to do.
        """
        keys = shard.keys
        executor = keys.key("executor", suffix)
        names = (
            *(keys.processes, keys.owners, self._key(shard, suffix)),
            *(keys.key("holders", suffix), executor),
        )
        me = self._layer.process
        call = SCRIPTS.find_wills.call(names, token, process, me, LEASE)
        [found] = self._layer._run([(shard, call)])
        if not found:
            return None
        death, wills, holders = found
        requests = [
            each
            for channel, content in zip(wills[::2], wills[1::2], strict=True)
            for each in self._executing(death, channel, content)
        ]
        for start in range(0, len(requests), CHUNK):
            self._layer._run(requests[start : start + CHUNK])
        channels = [channel.decode() for channel in holders]
        owned = self._layer._run([self.asking(shard, channel) for channel in channels])
        for channel, values in zip(channels, owned, strict=True):
            self._layer._run(self.ending(shard, suffix, channel, values))
        left = (self._key(shard, suffix), keys.key("delivered", suffix), executor)
        return shard, command("DEL", *left)

    def _executing(self, death: bytes, channel: bytes, content: bytes) -> list[Request]:
        """Return what puts the messages of a will; `death` is another one for each death."""
        layer = self._layer
        try:
            expiry, messages = layer._codec.open_as(content, (int, float), list)
        except Undecodable as exc:
            layer._note_undecodable("a will", exc)
            return []
        now = layer.clock()
        requests: list[Request] = []
        for number, (target, message) in enumerate(messages):
            queue = layer.inbox.queue(reader_of(target))
            mark = hashlib.sha256(b"%b %b %d" % (death, channel, number)).hexdigest()
            names = (
                *(queue.keys.queue, queue.keys.figures, queue.shard.keys.totals),
                *(queue.shard.keys.index, queue.shard.keys.key("executed", mark)),
            )
            entry = layer._codec.encode(now + expiry, target, message)
            arguments = (now, now + expiry, layer._queue_lifetime, queue.keys.suffix, entry)
            requests.append((queue.shard, SCRIPTS.execute.call(names, *arguments)))
        return requests
