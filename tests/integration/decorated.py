"""What the functions of `tests.apps.decorated` have written, and how to have them called."""

from __future__ import annotations

import http.client
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.servers import PATIENCE, Server

__all__ = ["APP", "Ledger", "call", "ledger"]

APP = "tests.apps.decorated:application"


class Ledger:
    """The lines, each a word, what belongs to it, and the process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self, word: str) -> list[list[str]]:
        """Return the lines that begin with a word, without it."""
        text = self.path.read_text() if self.path.exists() else ""
        found = [line.split() for line in text.splitlines()]
        return [rest for first, *rest in found if first == word]

    def numbers(self, word: str) -> list[int]:
        return sorted(int(line[0]) for line in self.lines(word))

    def pids(self, word: str) -> Counter[int]:
        return Counter(int(line[-1]) for line in self.lines(word))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


def call(server: Server, path: str) -> None:
    """Have a view call a function."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.request("GET", path)
    assert connection.getresponse().status == 200
    connection.close()
