"""How a command fails: one line on stderr, and a status that a script can tell apart."""

from __future__ import annotations

import re

__all__ = ["FAILED", "MISUSED", "CommandError", "without_passwords"]

#: What was asked for could not be done: the layer is not there, or not to be reached.
FAILED = 1

#: The command line or the URL cannot be used; argparse's own status.
MISUSED = 2


class CommandError(Exception):
    """A command cannot do its work; `str()` of it is one sentence, with the cure."""

    def __init__(self, text: str, status: int = FAILED) -> None:
        super().__init__(" ".join(text.split()))
        self.status = status


def without_passwords(text: str) -> str:
    """Return `text` with what stands before the last `@` of a URL hidden."""
    return re.sub(r"://\S*@", "://***@", text)
