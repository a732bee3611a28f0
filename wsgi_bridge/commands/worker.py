"""`wsgi-bridge worker TARGET`: run a site's consumers in processes of their own."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from wsgi_bridge.bridge import LAYER_VARIABLE
from wsgi_bridge.commands.errors import FAILED, MISUSED, CommandError
from wsgi_bridge.commands.numbers import count
from wsgi_bridge.logs import JsonFormatter
from wsgi_bridge.processes.options import DEFAULT_GRACEFUL_TIMEOUT, DEFAULT_THREADS, Options
from wsgi_bridge.processes.pid_file import PidFileTaken, pid_file
from wsgi_bridge.processes.supervisor import Supervisor
from wsgi_bridge.processes.target import BadTarget, split_target

__all__ = ["NAME", "add_parser", "complete"]

NAME = "worker"

LEVELS = ("debug", "info", "warning", "error", "critical")
LOG_FORMAT = "%(asctime)s [%(process)d] %(levelname)s %(name)s (%(threadName)s): %(message)s"

EXAMPLES = """\
examples:
  wsgi-bridge worker mysite.realtime:application
  wsgi-bridge worker mysite.realtime:application --processes 4 --max-memory 500M
  wsgi-bridge worker mysite.realtime:application --only thumbnails --threads 2
  wsgi-bridge worker mysite.realtime:application --layer ipc://mysite --reload

The layer must be one that the server shares: ipc:// on one machine, redis:// across several.

signals to the parent:
  TERM, INT   take no more messages, finish what was taken, stop; INT again or QUIT: at once
  HUP         replace the processes by new ones, with new code; nothing is lost meanwhile
  TTIN, TTOU  one process more, one less
  USR1        each process writes the stacks of its threads to stderr

Exit status: 0; 1 if the site cannot be run; 2 if the command line cannot be used.
"""

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


def complete(words: Sequence[str]) -> list[str]:
    """Return the words: nothing may be left out before others."""
    return list(words)


def add_parser(commands: Any) -> None:
    """Add the parser of `worker`."""
    parser = commands.add_parser(
        NAME,
        help="run a site's consumers in processes of their own",
        description="Run a site's consumers, and its WSGI app, in processes of their own, beside "
        "the server that holds the connections.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "target", metavar="TARGET", help="module:attribute of a Bridge, or of a WSGI callable"
    )
    _add_size(parser)
    _add_limits(parser)
    _add_surroundings(parser)


def _add_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--processes", metavar="N", type=count, default=1, help="how many (default: 1)"
    )
    each = parser.add_mutually_exclusive_group()
    each.add_argument(
        "--threads",
        metavar="N",
        type=count,
        default=DEFAULT_THREADS,
        help="messages that a process handles at once, in native threads; nothing is patched "
        "(default: %(default)s)",
    )
    each.add_argument(
        "--greenlets",
        metavar="N",
        type=count,
        default=0,
        help="the same in greenlets, everything patched by gevent; for sites that wait a lot",
    )
    parser.add_argument(
        "--only",
        metavar="PATTERN",
        action="append",
        default=[],
        help="receive on these channels only, such as 'http.*'; again for more",
    )
    parser.add_argument(
        "--exclude",
        metavar="PATTERN",
        action="append",
        default=[],
        help="do not receive on these channels; again for more",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-messages",
        metavar="N",
        type=count,
        default=0,
        help="replace a process after so many messages, and up to a tenth more",
    )
    parser.add_argument(
        "--max-memory",
        metavar="BYTES",
        type=_size,
        default=0,
        help="replace a process that is larger, such as 500M",
    )
    parser.add_argument(
        "--graceful-timeout",
        metavar="SECONDS",
        type=_seconds,
        default=DEFAULT_GRACEFUL_TIMEOUT,
        help="for what was taken to finish when a process stops (default: %(default)s)",
    )


def _add_surroundings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--layer", metavar="URL", help=f"of the layer, in place of the site's and ${LAYER_VARIABLE}"
    )
    parser.add_argument(
        "--reload", action="store_true", help="restart when a file changes; for development"
    )
    parser.add_argument(
        "--log-level", choices=LEVELS, default="info", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--log-json", action="store_true", help="log a line of JSON for each record"
    )
    parser.add_argument("--chdir", metavar="DIR", help="run in this directory")
    parser.add_argument("--pid", metavar="FILE", help="keep the process id of the parent there")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    _enter(arguments.chdir)
    if arguments.layer is not None:
        os.environ[LAYER_VARIABLE] = arguments.layer
    _log(arguments.log_level.upper(), as_json=arguments.log_json)
    options = Options(
        target=arguments.target,
        processes=arguments.processes,
        threads=arguments.threads,
        greenlets=arguments.greenlets,
        only=tuple(arguments.only),
        exclude=tuple(arguments.exclude),
        reload=arguments.reload,
        max_messages=arguments.max_messages,
        max_memory=arguments.max_memory,
        graceful_timeout=arguments.graceful_timeout,
    )
    try:
        split_target(options.target)
        with pid_file(arguments.pid or ""):
            Supervisor(options).run()
    except BadTarget as exc:
        raise CommandError(str(exc), MISUSED if exc.is_misuse else FAILED) from exc
    except (PidFileTaken, OSError) as exc:
        raise CommandError(str(exc)) from exc
    return 0


def _log(level: str, *, as_json: bool) -> None:
    logging.basicConfig(level=level, format=LOG_FORMAT)
    if as_json:
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonFormatter())


def _enter(directory: str | None) -> None:
    """Go there, and have the site's modules found there, as `python -m` does."""
    if directory is not None:
        try:
            os.chdir(directory)
        except OSError as exc:
            raise CommandError(f"--chdir: {exc}", MISUSED) from exc
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected seconds, 0 or more, not {text}")
    return number


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+)([KMG]?)B?", text.upper())
    if found is None or not int(found[1]):
        raise argparse.ArgumentTypeError(f"expected bytes, such as 500M or 2G, not {text}")
    return int(found[1]) * _UNITS[found[2]]
