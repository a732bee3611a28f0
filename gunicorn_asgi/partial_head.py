"""PartialHead: the head of a request that did not come whole."""

from __future__ import annotations

import re

from gunicorn_asgi.head import (
    TOKEN,
    check_controls,
    check_field_line,
    check_start,
    parse_request_line,
)
from gunicorn_asgi.policy import RequestPolicy
from gunicorn_asgi.request import RequestError

# What may still become a request line.
_may_become_request_line = re.compile(TOKEN[:-1] + rb"*(?: [!-~]*(?: [!-~]*)?)?\r?").fullmatch


class PartialHead:
    """A head that did not come whole: kept, and checked line by line as it comes.

    So that what can only be refused is refused at once, and nothing past a limit is kept.
    """

    __slots__ = ("_bytes", "_checked", "_count", "_policy")

    def __init__(self, policy: RequestPolicy) -> None:
        self._policy = policy
        self._bytes = bytearray()
        self._checked = 0  # where the first line begins that is not complete
        self._count = 0  # of complete lines

    @property
    def is_empty(self) -> bool:
        """Whether nothing of a request is there: the empty line before it may be."""
        return self._bytes.isspace() and b"\r\n".startswith(self._bytes)

    def add(self, data: bytes) -> bytes:
        """Return all that has come when the head is complete, else nothing. Raises RequestError."""
        seen = len(self._bytes)
        self._bytes += data
        if self._bytes.find(b"\r\n\r\n", max(seen - 3, 0)) >= 0:
            return bytes(self._bytes)
        if not self.is_empty:
            self._check()
        return b""

    def _check(self) -> None:
        if not self._checked and self._bytes.startswith(b"\r\n"):
            self._checked = 2
            check_start(self._bytes)
        while (end := self._bytes.find(b"\r\n", self._checked)) >= 0:
            self._check_line(bytes(self._bytes[self._checked : end]), is_complete=True)
            self._checked = end + 2
            self._count += 1
        self._check_line(bytes(self._bytes[self._checked :]), is_complete=False)
        if len(self._bytes) > self._policy.head_size or self._count > self._policy.fields + 1:
            raise RequestError(431, "the head of the request is too large")

    def _check_line(self, line: bytes, *, is_complete: bool) -> None:
        size = len(line.removesuffix(b"\r"))
        if not self._count and size > self._policy.line:
            raise RequestError(414, "the request line is too long")
        if self._count and size + len(b"\r\n") > self._policy.field_size:
            raise RequestError(431, "a header field of the request is too large")
        if not is_complete:
            check_controls(line.removesuffix(b"\r"))
            if not self._count and not _may_become_request_line(line):
                raise RequestError(400, "the request line is not method, target and version")
        elif not self._count:
            parse_request_line(line, self._policy)
        elif not self._policy.is_lenient:
            check_field_line(line)
