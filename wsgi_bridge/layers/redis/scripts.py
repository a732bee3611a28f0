"""The Lua scripts: loaded from lua/*.lua, called by their SHA1.

A script begins with a comment on its KEYS and ARGV. Those that are `needed` by another one are
functions, put in front of it: Redis knows no imports.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files

from wsgi_bridge.layers.redis.connection import Command, pack

__all__ = ["SCRIPTS", "Script"]


class Script:
    """One script, and how to call it."""

    def __init__(self, name: str, *needed: str) -> None:
        folder = files(__package__) / "lua"
        parts = [(folder / f"{part}.lua").read_text() for part in (*needed, name)]
        self.name = name
        self.source = "\n".join(parts).encode()
        self.sha = hashlib.sha1(self.source, usedforsecurity=False).hexdigest().encode()
        self.load = Command(3, pack(b"SCRIPT", b"LOAD", self.source))

    def prepare(self, keys: tuple[bytes, ...]) -> Prepared:
        """Return the call for these keys, to which arguments are added."""
        return Prepared(self, keys)

    def call(self, keys: tuple[bytes, ...], *arguments: bytes | float | str) -> Command:
        """Return the command that runs it."""
        return Prepared(self, keys)(*arguments)


class Prepared:
    """A call of a script with its keys packed: a channel is sent to many times."""

    __slots__ = ("_count", "_packed", "_script")

    def __init__(self, script: Script, keys: tuple[bytes, ...]) -> None:
        self._script = script
        self._count = 3 + len(keys)
        self._packed = pack(b"EVALSHA", script.sha, b"%d" % len(keys), *keys)

    def __call__(self, *arguments: bytes | float | str) -> Command:
        """Return the command with these arguments."""
        packed = self._packed + pack(*arguments)
        return Command(self._count + len(arguments), packed, self._script)

    def mergeable(self, key: bytes, last: bytes, *arguments: bytes | float | str) -> Command:
        """Return the command with these arguments and `last`, that others of `key` may join."""
        packed = self._packed + pack(*arguments)
        return Command(self._count + len(arguments), packed, self._script, key, last)


class _Scripts:
    """Every script, as an attribute."""

    def __init__(self) -> None:
        self.send = Script("send", "count", "expire")
        self.push = Script("push", "count", "expire")
        self.take = Script("take")
        self.give_back = Script("give_back")
        self.inspect = Script("inspect", "count", "expire")
        self.group_add = Script("group_add", "leave_group")
        self.group_discard = Script("group_discard", "leave_group")
        self.group_readers = Script("group_readers", "leave_group")
        self.group_members = Script("group_members", "leave_group")
        self.group_size = Script("group_size", "leave_group")
        self.peek = Script("peek")
        self.join = Script("join")
        self.changes = Script("changes")
        self.beat = Script("beat")
        self.bury = Script("bury", "count")
        self.add_counts = Script("add_counts", "count")
        self.save = Script("save")
        self.own = Script("own")
        self.let_end = Script("let_end")
        self.plan = Script("plan")
        self.cancel = Script("cancel")
        self.due = Script("due")
        self.release = Script("release", "count", "expire")
        self.append = Script("append", "log")
        self.read = Script("read", "log")
        self.publish = Script("publish", "leave_group", "log")
        self.deliver = Script("deliver", "count", "expire")
        self.group_add_data = Script("group_add_data", "leave_group")
        self.group_data = Script("group_data", "leave_group")
        self.find_wills = Script("find_wills")
        self.execute = Script("execute", "count")

    def all(self) -> list[Script]:
        """Return them in a list."""
        return list(vars(self).values())


SCRIPTS = _Scripts()
