"""The corpus: inputs that were worth keeping, a file each, as literals of Python."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent / "corpus"


def paths(target: str) -> list[Path]:
    """Return the files of a target, in the order of their names."""
    return sorted((ROOT / target).glob("*.txt"))


def load(path: Path) -> Any:
    """Return the input in a file."""
    return ast.literal_eval(path.read_text())


def keep(target: str, value: Any) -> Path:
    """Write an input down; return where."""
    text = repr(value) + "\n"
    assert ast.literal_eval(text) == value, f"no literal: {text}"
    path = ROOT / target / f"found-{hashlib.sha256(text.encode()).hexdigest()[:10]}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
