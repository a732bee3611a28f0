"""`python -m uwsgi_asgi.config`: print the lines that a site's uWSGI configuration is to include.

    [uwsgi]
    module = mysite.wsgi
    ...
    ini = exec:///srv/mysite/venv/bin/python -m uwsgi_asgi.config --app mysite.realtime:app :uwsgi

uWSGI takes what is behind the last colon for the section to read, hence the end of the line. It
runs the command itself; or its output is kept in a file, which is included. It comes last: the
guards in it see only what stands before (`fragment`).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from uwsgi_asgi.fragment import make_fragment
from uwsgi_asgi.options import GRACEFUL_TIMEOUT, LISTEN_MODE, MAX_CONNECTIONS, Options
from wsgi_bridge.processes.options import DEFAULT_THREADS
from wsgi_bridge.processes.target import DEFAULT_ATTRIBUTE, BadTarget, split_target

__all__ = ["main"]

EPILOG = """\
Put it last in the site's ini, with the absolute path of the site's own python:

  ini = exec:///srv/mysite/venv/bin/python -m uwsgi_asgi.config --app mysite.realtime:app :uwsgi

What is behind the last colon is for uWSGI: the section of the output that it reads.
Settings of the server, such as ASGI_ALLOWED_ORIGINS, are variables: env = ASGI_PING_INTERVAL=20
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the fragment that the arguments ask for; return the exit status."""
    given = _parser().parse_args(arguments)
    options = Options(
        app=given.app or "",
        http=" ".join(given.http),
        listen=given.listen,
        listen_mode=given.listen_mode,
        consumers=given.consumers,
        terminators=given.terminators,
        threads=given.threads,
        max_connections=given.max_connections,
        graceful_timeout=given.graceful_timeout,
    )
    fragment = make_fragment(options, layer=given.layer, prefixes=given.prefix)
    print(fragment, end="")  # noqa: T201 - it is a command
    if options.app and ":" not in options.app:
        # The line ended with `--app mysite.realtime:application`, and uWSGI has cut that in two.
        print(fragment.replace("[uwsgi]", f"[{DEFAULT_ATTRIBUTE}]"))  # noqa: T201
    return 0


class _Parser(argparse.ArgumentParser):
    """Says what is wrong to uWSGI as well, which would start without the lines."""

    def error(self, message: str) -> NoReturn:
        """Have whoever reads the output end with the message."""
        print(f"[uwsgi]\nprint = {self.prog}: {message}\nexit = 2")  # noqa: T201 - an ini
        super().error(message)


def _parser() -> _Parser:
    parser = _Parser(
        prog="python -m uwsgi_asgi.config",
        description="Print what a site's uWSGI configuration is to include.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--app",
        metavar="MODULE:ATTRIBUTE",
        type=_target,
        help="the Bridge whose consumers run (default: the site that uWSGI serves)",
    )
    parser.add_argument(
        "--consumers", metavar="N", type=_count, default=1, help="mules that run them (default: 1)"
    )
    parser.add_argument(
        "--threads",
        metavar="N",
        type=_positive,
        default=DEFAULT_THREADS,
        help="messages that each of these handles at once (default: %(default)s)",
    )
    parser.add_argument(
        "--terminators",
        metavar="N",
        type=_positive,
        default=1,
        help="mules that hold sockets (default: 1)",
    )
    parser.add_argument(
        "--max-connections",
        metavar="N",
        type=_positive,
        default=MAX_CONNECTIONS,
        help="of each of these (default: %(default)s)",
    )
    parser.add_argument(
        "--graceful-timeout",
        metavar="SECONDS",
        type=float,
        default=GRACEFUL_TIMEOUT,
        help="for what is under way when a mule stops (default: %(default)s)",
    )
    parser.add_argument(
        "--layer",
        metavar="URL",
        default="",
        help="of the channel layer, such as redis://localhost (default: ipc, of this uWSGI's own)",
    )
    parser.add_argument(
        "--http",
        metavar="PATH",
        action="append",
        type=_prefix,
        default=[],
        help="hand plain requests under this path over as well, of a site that is a Bridge or uses "
        "HandOff: long polls, streams of events, slow downloads; again for more",
    )
    parser.add_argument(
        "--listen",
        metavar="ADDRESS",
        default="",
        help="a socket of the terminators' own, a path or HOST:PORT, for `uwsgi_pass` of nginx: "
        "what comes there touches no worker",
    )
    parser.add_argument(
        "--listen-mode",
        metavar="OCTAL",
        type=_mode,
        default=LISTEN_MODE,
        help="permissions of a path (default: %(default)s)",
    )
    parser.add_argument(
        "--prefix",
        metavar="PATH",
        action="append",
        type=_prefix,
        default=[],
        help="hand over what is under this path, whatever the site is; again for more",
    )
    return parser


def _target(text: str) -> str:
    try:
        split_target(text)
    except BadTarget as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc
    return text


def _count(text: str) -> int:
    return _number(text, 0)


def _positive(text: str) -> int:
    return _number(text, 1)


def _number(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"expected {least} or more, not {text}")
    return int(text)


def _mode(text: str) -> str:
    if not re.fullmatch("0?[0-7]{3}", text):
        raise argparse.ArgumentTypeError(f"expected permissions such as 660, not {text}")
    return text


def _prefix(text: str) -> str:
    if not text.startswith("/") or text.endswith("/"):
        raise argparse.ArgumentTypeError(f"expected a path such as /ws, not {text}")
    return text


if __name__ == "__main__":
    sys.exit(main())
