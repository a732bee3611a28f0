"""The uWSGI that this process is of, if it is of one."""

from __future__ import annotations

import importlib
import sys
from typing import Any

__all__ = ["maybe_uwsgi", "warn_of_target"]


def maybe_uwsgi() -> Any:
    """Return the module `uwsgi`, None outside of uWSGI and where it runs without a master.

    Like `uwsgidecorators`, whatever asks for it needs the master.
    """
    # It is made by uWSGI itself, never found on the path.
    module = sys.modules.get("uwsgi") or _import()
    return module if module is not None and module.masterpid() else None


def _import() -> Any:
    try:
        return importlib.import_module("uwsgi")
    except ImportError:
        return None


# Targets that mean any one process, which is what the layer does.
_ANY = frozenset({"", "worker", "mule", "spooler"})


def warn_of_target(logger: Any, decorator: str, name: str, target: str) -> None:
    """Say that a target has no meaning here, where it would have had one."""
    if target not in _ANY:
        logger.warning("%s(target=%r) of %s: runs once, in any process that runs consumers",
                       decorator, target, name)  # fmt: skip
