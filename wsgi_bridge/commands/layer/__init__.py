"""`wsgi-bridge layer [URL] ACTION`: look at a channel layer from outside, empty it, try it.

    looks    stats, channels, groups, routes, delays: change nothing
    acts     cancel, flush, ping

The URL may be left out where CHANNEL_LAYER has it, which also keeps a password out of the list of
processes. argparse cannot tell an optional word before others, so `complete` puts it in.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from typing import Any

from wsgi_bridge.bridge import LAYER_VARIABLE
from wsgi_bridge.commands.errors import MISUSED, CommandError
from wsgi_bridge.commands.layer import acts, looks
from wsgi_bridge.commands.numbers import count, positive

__all__ = ["NAME", "add_parser", "complete"]

NAME = "layer"
ACTIONS = ("stats", "channels", "groups", "routes", "delays", "cancel", "flush", "ping")

USAGE = f"wsgi-bridge layer [-h] [URL] {{{','.join(ACTIONS)}}} ..."

EXAMPLES = """\
examples:
  wsgi-bridge layer ipc://                             which ipc layers this user has
  wsgi-bridge layer ipc://mysite stats --watch 2       the figures of all processes, kept fresh
  wsgi-bridge layer redis://localhost channels 'http.*'
  wsgi-bridge layer redis://localhost groups chat      who is in a group
  CHANNEL_LAYER=redis://... wsgi-bridge layer ping --json

wsgi-bridge layer ACTION --help says more of each. Give the URL as the site has it, options
(?expiry=, ?prefix=, ?capacity=) included. Exit status: 0; 1 if the layer is not there or not to be
reached; 2 if the command line or the URL cannot be used.
"""


def complete(words: Sequence[str]) -> list[str]:
    """Return the words with the URL of the environment, and with `stats`, where these lack."""
    if any(word in ("-h", "--help") for word in words[:1]):
        return list(words)
    if not words or words[0].startswith("-") or words[0] in ACTIONS:
        words = [os.environ.get(LAYER_VARIABLE, ""), *words]
    if len(words) == 1 or (len(words) > 1 and words[1].startswith("-")):
        words = [words[0], "stats", *words[1:]]
    return list(words)


def add_parser(commands: Any) -> None:
    """Add the parser of `layer`."""
    parser = commands.add_parser(
        NAME,
        help="look at a channel layer from outside, empty it, try it",
        description="Look at a channel layer from outside, empty it, try it.",
        usage=USAGE,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "url",
        metavar="URL",
        help="of the layer, as the site has it; ipc:// alone for all of this user; "
        f"left out: ${LAYER_VARIABLE}",
    )
    actions = parser.add_subparsers(
        metavar="ACTION", prog="wsgi-bridge layer [URL]", title="actions", required=True
    )
    _add_looks(actions)
    _add_acts(actions)


def _add_looks(actions: Any) -> None:
    stats = _add(actions, "stats", looks.stats, "figures of all processes together; the default")
    stats.add_argument("--channel", metavar="NAME", help="of one channel only")
    channels = _add(actions, "channels", looks.channels, "channels with messages or a count")
    channels.add_argument("glob", metavar="GLOB", nargs="?", default="*", help="only such names")
    groups = _add(actions, "groups", looks.groups, "groups and their sizes, or who is in one")
    groups.add_argument("group", metavar="NAME", nargs="?", help="list the members of this one")
    routes = _add(actions, "routes", looks.routes, "routes: runs, errors, times, all processes")
    routes.add_argument("glob", metavar="GLOB", nargs="?", default="*", help="only such names")
    delays = _add(actions, "delays", looks.delays, "messages for later, the next one first")
    for each in (stats, routes):
        each.add_argument(
            "--watch", metavar="SECONDS", type=positive, help="again every so often, until Ctrl-C"
        )
    for each in (channels, groups, routes, delays):
        each.add_argument(
            "--limit", metavar="N", type=count, help="only so many, the first of them"
        )


def _add_acts(actions: Any) -> None:
    cancel = _add(actions, "cancel", acts.cancel, "take back a message for later")
    cancel.add_argument("channel", metavar="CHANNEL", help="that it is for, as `delays` has it")
    cancel.add_argument("id", metavar="ID", help="of the message, as `delays` has it")
    flush = _add(actions, "flush", acts.flush, "drop every message and every membership")
    flush.add_argument("--yes", action="store_true", help="do not ask")
    ping = _add(actions, "ping", acts.ping, "send messages and receive them; what the backend is")
    ping.add_argument(
        "--count",
        metavar="N",
        type=count,
        default=acts.DEFAULT_COUNT,
        help="messages to send (default: %(default)s)",
    )


def _add(
    actions: Any, name: str, run: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=looks.EPILOGS.get(name) or acts.EPILOGS.get(name),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_with_url(run))
    return parser


def _with_url(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    def checked(arguments: argparse.Namespace) -> int:
        if not arguments.url:
            raise CommandError(
                f"no layer is named: wsgi-bridge layer URL ..., or set {LAYER_VARIABLE}", MISUSED
            )
        return run(arguments)

    return checked
