"""The command line: `wsgi-bridge COMMAND`, or `python -m wsgi_bridge COMMAND`.

A command is one module, or package, here: it is listed in COMMANDS and has

    NAME                  the word that calls it
    add_parser(commands)  adds its parser, whose default `run(arguments)` returns the exit status
    complete(words)       returns its words with what may be left out put in

The statuses are those of `errors`. No command shows a traceback for what a user can mend, and none
a password.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any, NoReturn, Protocol

from wsgi_bridge.commands import layer, top, worker
from wsgi_bridge.commands.errors import CommandError, without_passwords

__all__ = ["COMMANDS", "main", "make_parser"]

PROGRAM = "wsgi-bridge"

#: What a shell shows for a program that Ctrl-C ended.
INTERRUPTED = 130

# Layers warn of what they raise as well. Who looks at a terminal reads it once.
_SILENT = logging.NullHandler()

EXAMPLES = """\
examples:
  wsgi-bridge layer ipc://                       which ipc layers there are on this machine
  wsgi-bridge layer redis://localhost stats      what the processes of a site have sent and lost
  wsgi-bridge top ipc://mysite                   a running site as a live table
  wsgi-bridge layer --help                       all that can be asked of a layer
"""


class Command(Protocol):
    """What a module has that is a command."""

    NAME: str

    def add_parser(self, commands: Any) -> None:
        """Add the parser of the command."""

    def complete(self, words: Sequence[str]) -> list[str]:
        """Return the words that follow the name, completed."""


COMMANDS: tuple[Command, ...] = (layer, top, worker)


class Parser(argparse.ArgumentParser):
    """Shows no password when it complains of a word that is a URL."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit."""
        super().error(without_passwords(message))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` names, `sys.argv` unless given; return the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    logging.getLogger("wsgi_bridge").addHandler(_SILENT)
    try:
        arguments = make_parser().parse_args(_complete(words))
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except CommandError as exc:
        sys.stderr.write(f"{PROGRAM}: {without_passwords(str(exc))}\n")
        return exc.status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough (`| head`). What is left in the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = Parser(
        prog=PROGRAM,
        description="Tools for a running site: look at what its processes share, and try it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


def _complete(words: list[str]) -> list[str]:
    for command in COMMANDS:
        if words and words[0] == command.NAME:
            return [command.NAME, *command.complete(words[1:])]
    return words


def _version() -> str:
    try:
        return metadata.version("wsgi-bridge")
    except metadata.PackageNotFoundError:
        return "(not installed)"
