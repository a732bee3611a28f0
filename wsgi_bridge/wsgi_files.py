"""`wsgi.file_wrapper` (PEP 3333, "Optional Platform-Specific File Handling").

It is not sendfile: the bytes travel as messages. What it brings is blocks of a size that suits
them, where it can tell that a bigger block makes nobody wait.
"""

from __future__ import annotations

import io
import os
import stat
from typing import Protocol

# Bytes of one block of a regular file: half a flow window, so that one block is read while another
# is written. Frameworks ask for 8192, which costs a message for each.
BLOCK_SIZE = 131072


class Readable(Protocol):
    """What a file wrapper wants of a file."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end."""
        ...


class FileWrapper:
    """The blocks of a file, as an app iterable.

    ``file`` has ``read(size)`` and maybe ``close()``; ``block_size`` (bytes) is kept for a file
    that may have to wait for its bytes (a pipe, a socket), and raised for a regular one. Reading
    blocks as the file does.
    """

    def __init__(self, file: Readable, block_size: int = 8192) -> None:
        self.file = file
        self.block_size = max(block_size, BLOCK_SIZE) if is_regular(file) else block_size
        # PEP 3333: the wrapper has a close() only if the file has one.
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self) -> FileWrapper:
        return self

    def __next__(self) -> bytes:
        block = self.file.read(self.block_size)
        if not block:
            raise StopIteration
        return block


def is_regular(file: object) -> bool:
    """Whether reading more of the file at once makes nobody wait: on disk, or in memory."""
    if isinstance(file, io.BytesIO):
        return True
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)  # type: ignore[attr-defined]
    except (AttributeError, OSError, TypeError, ValueError):
        return False
