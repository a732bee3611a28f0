"""What does something to a layer: `cancel`, `flush` empties it, `ping` sends through it."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import Any

from wsgi_bridge.commands.errors import FAILED, MISUSED, CommandError
from wsgi_bridge.commands.opening import opened, public_url
from wsgi_bridge.commands.tables import Table, show
from wsgi_bridge.exceptions import InvalidName
from wsgi_bridge.layers import BaseLayer

__all__ = ["DEFAULT_COUNT", "EPILOGS", "cancel", "flush", "ping"]

#: Messages of a ping: enough for a median, and done before one wonders.
DEFAULT_COUNT = 5

#: Seconds to wait for a message that was sent. It is there when its send has returned.
PATIENCE = 5.0

PING_PATTERN = "wsgi-bridge.ping?"

EPILOGS = {
    "cancel": """\
What the site's code has in send_every comes back within a minute.

examples:
  wsgi-bridge layer ipc://mysite cancel reports nightly
  wsgi-bridge layer ipc://mysite cancel wsgi-bridge.due lobby:reminder
""",
    "flush": """\
Sockets stay open, but are in no group any more until they join again.

examples:
  wsgi-bridge layer ipc://mysite flush
  wsgi-bridge layer redis://localhost flush --yes
""",
    "ping": """\
The messages go through a channel of their own, and are counted like all others.

examples:
  wsgi-bridge layer redis://localhost ping
  wsgi-bridge layer redis://localhost ping --count 100 --json
""",
}


def cancel(arguments: argparse.Namespace) -> int:
    """Take back a message for later."""
    channel, key = arguments.channel, arguments.id
    with opened(arguments.url) as layer:
        try:
            was_scheduled = layer.storage.cancel(channel, key)
        except (InvalidName, NotImplementedError) as exc:
            raise CommandError(str(exc), MISUSED) from exc
    if not was_scheduled:
        raise CommandError(f"there is no message for later for {channel} under {key}")
    if arguments.json:
        show(Table([]), {"channel": channel, "id": key}, as_json=True)
    else:
        sys.stdout.write(f"cancelled {key} for {channel}\n")
    return 0


def flush(arguments: argparse.Namespace) -> int:
    """Drop all that is in a layer, after a question; say what it was."""
    if not arguments.yes and not sys.stdin.isatty():
        raise CommandError(
            "flush drops every message and membership, and there is no terminal to ask on: say "
            "--yes if that is what you want",
            MISUSED,
        )
    with opened(arguments.url) as layer:
        dropped = _content(layer)
        if not arguments.yes and not _confirmed(public_url(arguments.url), dropped):
            raise CommandError("nothing was dropped", FAILED)
        layer.flush()
    if arguments.json:
        show(Table([]), dropped, as_json=True)
    else:
        sys.stdout.write(f"dropped {_sentence(dropped)}\n")
    return 0


def ping(arguments: argparse.Namespace) -> int:
    """Send messages to a channel of our own and receive them; show the times and the backend."""
    with opened(arguments.url) as layer:
        facts = layer.describe()
        times = _round_trips(layer, arguments.count)
    figures = {
        "count": len(times),
        "min_ms": min(times),
        "median_ms": statistics.median(times),
        "max_ms": max(times),
    }
    table = Table(["fact", "value"], left=2)
    table.rows += [[name.replace("_", " "), _fact(value)] for name, value in facts.items()]
    table.rows += [["messages", str(len(times))]]
    table.rows += [
        ["min, median, max", " / ".join(f"{figures[f'{name}_ms']:.3f}" for name in _TIMES) + " ms"]
    ]
    show(table, {"backend": facts, **figures}, as_json=arguments.json)
    return 0


_TIMES = ("min", "median", "max")


def _round_trips(layer: BaseLayer, count: int) -> list[float]:
    """Return how many milliseconds each message took, from before the send to its arrival."""
    channel = layer.new_channel(PING_PATTERN)
    times = []
    for number in range(count):
        start = time.perf_counter()
        layer.send(channel, {"n": number})
        _, message = layer.receive([channel], True, PATIENCE)
        times.append(round((time.perf_counter() - start) * 1000, 4))
        if message != {"n": number}:
            raise CommandError(
                f"message {number + 1} of {count} was lost: it was sent, and did not arrive in "
                f"{PATIENCE:.0f} s; see that the URL is the same in all processes"
            )
    return times


def _content(layer: BaseLayer) -> dict[str, int]:
    """Return what a flush would drop, as of now."""
    content = {"messages": layer.global_statistics()["messages_pending"]}
    if "introspection" in layer.extensions:
        sizes = layer.statistics_by_group().values()
        content["groups"] = len(sizes)
        content["members"] = sum(size["members_count"] for size in sizes)
    return content


def _sentence(content: dict[str, int]) -> str:
    text = f"{content['messages']} messages"
    if "groups" in content:
        text += f" and {content['groups']} groups with {content['members']} members"
    return text


def _confirmed(url: str, content: dict[str, int]) -> bool:
    sys.stderr.write(f"drop {_sentence(content)} of {url}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _fact(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} ({each})" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
