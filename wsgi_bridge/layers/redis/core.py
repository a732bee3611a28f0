"""What every operation of the layer stands on: shards, queues, running commands.

Commands for several shards go to each in one pipeline. An error reply of Redis is translated here:
out of memory is ChannelFull to a send and ChannelLayerUnavailable to the rest, like all others.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import ResponseError

from wsgi_bridge.events.layers import LAYER_UNDECODABLE, REDIS_NOT_DONE, REDIS_UNREACHABLE
from wsgi_bridge.exceptions import ChannelLayerUnavailable, InvalidLayerURL
from wsgi_bridge.layers.base import BaseLayer
from wsgi_bridge.layers.concurrency import can_wait, reset_after_fork
from wsgi_bridge.layers.redis.codec import Codec, Undecodable
from wsgi_bridge.layers.redis.connection import Command
from wsgi_bridge.layers.redis.inbox import Inbox, LocalQueue
from wsgi_bridge.layers.redis.keys import rendezvous
from wsgi_bridge.layers.redis.memberships import Memberships
from wsgi_bridge.layers.redis.shard import Shard
from wsgi_bridge.layers.redis.topology import Place
from wsgi_bridge.names import check_reader

if TYPE_CHECKING:
    from wsgi_bridge.layers.redis.layer import RedisLayer
    from wsgi_bridge.layers.redis.storage import RedisStorage

__all__ = ["DEFAULT_PREFIX", "RedisCore", "Request", "refusal"]

logger = logging.getLogger(__name__)

#: What the names of keys begin with. Sites that share a server have one each.
DEFAULT_PREFIX = "wsgi_bridge"

#: Seconds to wait for a reply of Redis, which takes a millisecond. A server that hangs costs a
#: caller this long once, and is then known to be down.
DEFAULT_TIMEOUT = 3.0

#: Seconds for which keys outlive what they hold, by the time of Redis. Expired messages are dropped
#: and counted by whoever meets them; this is for what a site leaves behind that is switched off.
GRACE = 60.0

#: Channels whose shard and keys are remembered.
CACHE_SIZE = 8192

Request = tuple[Shard, Command]


class RedisCore(BaseLayer):
    """Shards and queues of a layer on Redis.

    `places` are where the shards are; `prefix` begins the names of keys; of the secrets in
    `symmetric_encryption_keys` the first one encrypts and all of them decrypt; `hash_names` hides
    channels and groups in the names of keys; `timeout` is in seconds.
    """

    _storage: RedisStorage

    def __init__(
        self,
        places: Sequence[Place],
        *,
        prefix: str = DEFAULT_PREFIX,
        symmetric_encryption_keys: Sequence[str | bytes] = (),
        hash_names: bool = False,
        timeout: float = DEFAULT_TIMEOUT,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if hash_names and not symmetric_encryption_keys:
            raise InvalidLayerURL(
                "hash_names needs symmetric_encryption_keys: a secret to hash with"
            )
        self.prefix = prefix
        self._codec = Codec(symmetric_encryption_keys, hash_names=hash_names)
        mine = cast("RedisLayer", self)
        self._shards = [Shard(mine, place, prefix, timeout) for place in places]
        self._names = [shard.name for shard in self._shards]
        self._queue_lifetime = int((self.expiry + GRACE) * 1000)
        self._group_lifetime = int((self.group_expiry + GRACE) * 1000)
        self._reset()
        reset_after_fork(self, _reset)

    def _reset(self) -> None:
        """Start anew: in a forked child, where connections and threads are the parent's."""
        #: The name of this process among those that use the layer.
        self.process = secrets.token_hex(8)
        self.is_closed = False
        self._has_undecodable = False
        self.inbox = Inbox(self._open_queue)
        self._memberships = Memberships(self.group_expiry)
        self._targets: dict[str, LocalQueue] = {}
        for shard in self._shards:
            shard.reset()

    def _open_queue(self, name: str) -> LocalQueue:
        check_reader(name)
        self._check_open()
        suffix = self._codec.hashed(name)
        shard = self._shard_of(suffix)
        return LocalQueue(name, shard, shard.keys.channel(suffix), self.capacity_of(name))

    def _target(self, reader: str) -> LocalQueue:
        """Return the keys of a channel to send to. Not checked; kept for a while."""
        target = self._targets.get(reader)
        if target is None:
            if len(self._targets) >= CACHE_SIZE:
                self._targets.clear()
            target = self._targets[reader] = self._open_queue(reader)
        return target

    def _shard_of(self, suffix: str) -> Shard:
        return self._shards[rendezvous(suffix, self._names)]

    def _check_open(self) -> None:
        if self.is_closed:
            raise ChannelLayerUnavailable("this layer was closed")

    # Running commands.

    def _run(self, requests: Sequence[Request]) -> list[Any]:
        """Run commands, those of each shard in one pipeline, and return their replies.

        Blocks. Raises ChannelLayerUnavailable, also for an error reply.
        """
        self._check_open()
        replies: list[Any] = [None] * len(requests)
        for shard in dict.fromkeys(shard for shard, _ in requests):
            places = [at for at, request in enumerate(requests) if request[0] is shard]
            found = shard.pipe.call([requests[at][1] for at in places])
            for at, reply in zip(places, found, strict=True):
                if isinstance(reply, ResponseError):
                    raise refusal(reply) from reply
                replies[at] = reply
        return replies

    def _soon(self, job: Callable[..., None], *arguments: Any) -> bool:
        """Have `job` called by a thread that may wait, if the caller may not; True if so."""
        self._check_open()
        if can_wait():
            return False
        self._shards[0].keeper.defer(lambda: _logged(job, *arguments))
        return True

    # What shards tell.

    def note_health(self, shard: Shard, is_found: bool) -> None:
        """Wake whoever waits for a shard that was lost or found again."""
        if is_found:
            logger.info("Redis is back: %s", shard.name)
        else:
            REDIS_UNREACHABLE.log(
                logger, "Redis cannot be reached: %(shard)s", cause="connection", shard=shard.name
            )
        self.inbox.wake_all(shard)

    def _note_undecodable(self, where: str, error: Undecodable) -> None:
        if not self._has_undecodable:
            self._has_undecodable = True
            LAYER_UNDECODABLE.log(
                logger,
                "what cannot be decoded is dropped, on %(channel)s: %(cause)s",
                cause=error,
                channel=where,
            )

    def _note_decodable(self) -> None:
        """The burst is over: the next one is logged again."""
        self._has_undecodable = False


def _reset(layer: RedisCore) -> None:
    layer._reset()


def refusal(reply: ResponseError) -> ChannelLayerUnavailable:
    """Return the exception for an error reply that means nothing else."""
    return ChannelLayerUnavailable(f"Redis refused: {type(reply).__name__}: {reply}")


def _logged(job: Callable[..., None], *arguments: Any) -> None:
    try:
        job(*arguments)
    except ChannelLayerUnavailable as exc:
        REDIS_NOT_DONE.log(
            logger, "%(job)s was not done: %(cause)s", cause=exc, job=getattr(job, "__name__", job)
        )
