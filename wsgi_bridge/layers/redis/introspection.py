"""What is in Redis: statistics, every channel, every group, the servers.

Nothing here changes anything: whoever looks may have another clock than the site, or not its keys.
So what has expired is told as expired, and dropped by those who send and receive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from redis.exceptions import ResponseError

from wsgi_bridge.layers.redis.codec import read_double
from wsgi_bridge.layers.redis.connection import command
from wsgi_bridge.layers.redis.figures import Backlog, make_statistics
from wsgi_bridge.layers.redis.scripts import SCRIPTS
from wsgi_bridge.layers.redis.sending import SendOperations
from wsgi_bridge.layers.redis.shard import Shard
from wsgi_bridge.layers.statistics import GroupStatistics, Statistics
from wsgi_bridge.names import check_channel, reader_of

__all__ = ["CHUNK", "Introspection"]

#: Queues that are asked about in one pipeline.
CHUNK = 500

#: Keys that one SCAN looks at.
SCAN_COUNT = 1000


class Introspection(SendOperations):
    """Statistics, and the extension `introspection`; see BaseLayer."""

    def channel_statistics(self, channel: str) -> Statistics:
        """Return the figures of one channel; see BaseLayer."""
        check_channel(channel)
        queue = self._target(reader_of(channel))
        backlogs = self._peek(queue.shard, [queue.keys.suffix])
        [fields] = self._run([(queue.shard, command("HGETALL", queue.keys.figures))])
        return make_statistics([fields], backlogs, self.clock())

    def global_statistics(self) -> Statistics:
        """Return the figures of all channels; see BaseLayer."""
        backlogs: list[Backlog] = []
        for shard in self._shards:
            backlogs += self._peek(shard, self._indexed(shard))
        totals = [(shard, command("HGETALL", shard.keys.totals)) for shard in self._shards]
        return make_statistics(self._run(totals), backlogs, self.clock())

    def statistics_by_channel(self) -> dict[str, Statistics]:
        """Return the figures of every channel with messages or a count; see BaseLayer.

        With `hash_names`, by the hashes of names: Redis has nothing else.
        """
        found = {}
        for shard in self._shards:
            counted = self._suffixes(shard, "figures")
            suffixes = sorted(counted.union(self._indexed(shard)))
            keys = [shard.keys.key("figures", suffix) for suffix in suffixes]
            hashes = self._in_chunks(shard, [command("HGETALL", key) for key in keys])
            backlogs = self._peek(shard, suffixes)
            now = self.clock()
            for suffix, fields, backlog in zip(suffixes, hashes, backlogs, strict=True):
                found[suffix] = make_statistics([fields], [backlog], now)
        return {suffix: figures for suffix, figures in found.items() if any(figures.values())}

    def statistics_by_group(self) -> dict[str, GroupStatistics]:
        """Return the size of every group; see BaseLayer.

        With `hash_names`, by the hashes of names.
        """
        found: dict[str, GroupStatistics] = {}
        for shard in self._shards:
            suffixes = sorted(self._suffixes(shard, "members"))
            keys = [shard.keys.group(suffix) for suffix in suffixes]
            asked = [SCRIPTS.group_size.call(pair, self.clock()) for pair in keys]
            replies = self._in_chunks(shard, asked)
            for suffix, (members, readers) in zip(suffixes, replies, strict=True):
                if members:
                    found[suffix] = {"members_count": members, "readers_count": readers}
        return found

    def describe(self) -> dict[str, Any]:
        """Return facts on the layer: servers with versions, prefix, how many processes receive."""
        return {
            "layer": "redis",
            "servers": {shard.name: self._version(shard) for shard in self._shards},
            "prefix": self.prefix,
            "hash_names": self._codec.hashes_names,
            "processes": len(set().union(*map(self._processes, self._shards))),
        }

    def _version(self, shard: Shard) -> str:
        # Not by `_run`: a user of Redis may well lack the permission.
        [reply] = shard.pipe.call([command("INFO", "server")])
        if isinstance(reply, ResponseError):
            return "unknown version"
        facts = dict(line.split(":", 1) for line in reply.decode().splitlines() if ":" in line)
        if "valkey_version" in facts:
            return f"Valkey {facts['valkey_version']}"
        return f"Redis {facts.get('redis_version', 'of unknown version')}"

    def _processes(self, shard: Shard) -> list[bytes]:
        """Return the processes that say that they live; only those do that receive."""
        [[seconds, micros]] = self._run([(shard, command("TIME"))])
        now = int(seconds) + int(micros) / 1e6
        living = command("ZRANGEBYSCORE", shard.keys.processes, now, "+inf")
        [names] = self._run([(shard, living)])
        found: list[bytes] = names
        return found

    # Asking.

    def _peek(self, shard: Shard, suffixes: Sequence[str]) -> list[Backlog]:
        """Return what is in each of these queues."""
        now = self.clock()
        queues = [(shard.keys.key("queue", suffix),) for suffix in suffixes]
        replies = self._in_chunks(shard, [SCRIPTS.peek.call(keys, now) for keys in queues])
        backlogs = []
        for pending, deadline, expired in replies:
            age = now - (read_double(deadline) - self.expiry) if pending else 0.0
            backlogs.append(Backlog(pending, max(0.0, age), expired))
        return backlogs

    def _indexed(self, shard: Shard) -> list[str]:
        """Return the channels that may have messages."""
        [index] = self._run([(shard, command("ZRANGE", shard.keys.index, 0, -1))])
        return [suffix.decode() for suffix in index]

    def _suffixes(self, shard: Shard, kind: str) -> set[str]:
        """Return the channels or groups that have a key of a kind."""
        found = self._scan(shard, shard.keys.pattern(kind))
        return {shard.keys.suffix(key) for keys in found for key in keys}

    def _scan(self, shard: Shard, pattern: bytes) -> Iterator[list[bytes]]:
        """Yield the keys that match, some of them maybe twice."""
        cursor = b"0"
        while True:
            scan = command("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT)
            [(cursor, keys)] = self._run([(shard, scan)])
            yield keys
            if cursor == b"0":
                return

    def _in_chunks(self, shard: Shard, commands: Sequence[Any]) -> list[Any]:
        """Run commands, some at a time; return their replies."""
        replies: list[Any] = []
        for start in range(0, len(commands), CHUNK):
            chunk = commands[start : start + CHUNK]
            replies += self._run([(shard, each) for each in chunk])
        return replies
