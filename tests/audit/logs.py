"""Logs that outlive a kill -9: each entry is one write to a file, without a buffer.

A process that is killed in the middle of a write may leave the beginning of a line: it is no entry.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

__all__ = ["Log", "publish", "read_lines", "read_published"]


class Log:
    """The log of one process, `NAME.KIND` in `folder`."""

    def __init__(self, folder: str, kind: str, name: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._file = os.open(os.path.join(folder, f"{name}.{kind}"), flags, 0o600)

    def write(self, *lines: str) -> None:
        """Add lines. When it returns they are the kernel's, and a kill does not lose them."""
        data = ("\n".join(lines) + "\n").encode()
        while data:
            data = data[os.write(self._file, data) :]

    def close(self) -> None:
        os.close(self._file)


def read_lines(folder: str, kind: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each log of this kind, and its whole lines."""
    for file in sorted(os.listdir(folder)):
        name, dot, found = file.rpartition(".")
        if dot and found == kind:
            with open(os.path.join(folder, file)) as log:
                yield name, log.read().split("\n")[:-1]


def publish(folder: str, slot: str, text: str) -> None:
    """Say where the process in a slot can be reached, in place of what was there before."""
    path = os.path.join(folder, f"{slot}.address")
    with open(f"{path}.new", "w") as file:
        file.write(f"{text}\n")
    os.replace(f"{path}.new", path)


def read_published(folder: str) -> list[str]:
    """Return what all slots have published."""
    return [lines[0] for _, lines in read_lines(folder, "address") if lines]
