"""The channel layer for many machines: Redis 6.2 or newer, or Valkey.

    layer.py       RedisLayer: the contract of `layers.base`, in terms of what follows
    core.py, groups.py, readers.py, sending.py
                   its parts: running commands, groups, who reads, sends
    introspection.py  statistics, and who looks from outside: changes nothing
    url.py         reads a URL: hosts, credentials, options
    topology.py    where a shard is: one server, the master that Sentinel names, a Cluster's node
    shard.py       Shard: the connections and threads of one part of the channels
    keys.py        the names of keys, and which shard a channel is on
    pipe.py        Pipe: everybody's commands in one pipeline; failure and reconnection
    merge.py       sends to one channel as one call
    connection.py  Link: one connection, and the wire format of commands
    scripts.py     loads lua/*.lua, each of which is one atomic operation
    codec.py       entries of queues: a message packed, encrypted if there are keys
    naming.py      names as they stand in Redis: in the clear, or hidden
    inbox.py       the messages of this process that nobody has taken yet, and the demand for more
    reader.py      Reader: the one blocking receive of a shard
    keeper.py      Keeper: what a shard does beside: heartbeats, nudges, sends that cannot wait
    memberships.py who is a member behind the channels that this process reads
    locks.py       locks and waits that are right under threads and greenlets
    figures.py     figures, from the counts in Redis

In this package, `redis` is the client library: imports are absolute. The library is imported here
and nowhere else. docs/topics/redis.md says which operation becomes which commands.
"""

from __future__ import annotations

from wsgi_bridge.layers.redis.layer import RedisLayer

__all__ = ["RedisLayer"]
