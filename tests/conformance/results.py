"""What was found so far, kept in a file: the columns take hours, and can be measured one by one."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from tests.conformance.columns import Finding


class Results:
    """The findings, by server and column."""

    def __init__(self, path: Path | None) -> None:
        """Begin with what is in the file, if there is one."""
        self._path = path
        self._cells: dict[str, dict[str, Finding]] = {}
        if path is not None and path.exists():
            for server, cells in json.loads(path.read_text()).items():
                self._cells[server] = {
                    column: Finding(found["cell"], tuple(found["details"]), found["is_quick"])
                    for column, found in cells.items()
                }

    def add(self, server: str, column: str, found: Finding) -> None:
        """Note a cell, in place of what was there, and save."""
        self._cells.setdefault(server, {})[column] = found
        if self._path is not None:
            cells = {
                name: {column: asdict(found) for column, found in row.items()}
                for name, row in self._cells.items()
            }
            self._path.write_text(json.dumps(cells, indent=1) + "\n")

    def find(self, server: str, column: str) -> Finding | None:
        """Return a cell."""
        return self._cells.get(server, {}).get(column)
