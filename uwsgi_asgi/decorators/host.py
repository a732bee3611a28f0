"""The uWSGI that this process is of, if it is of one."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Any

from uwsgi_asgi.decorators.events import TASK_TARGET_IGNORED

__all__ = ["maybe_uwsgi", "warn_of_target"]

logger = logging.getLogger(__name__)


def maybe_uwsgi() -> Any:
    """Return the module `uwsgi`, None outside of uWSGI and where it runs without a master.

    Like `uwsgidecorators`, whatever asks for it needs the master.
    """
    # uWSGI brings it along: what has that name on the path is something of the site's.
    if "uwsgi" not in sys.builtin_module_names and "uwsgi" not in sys.modules:
        return None
    module = importlib.import_module("uwsgi")
    return module if hasattr(module, "masterpid") and module.masterpid() else None


# Targets that mean any one process, which is what the layer does.
_ANY = frozenset({"", "worker", "mule", "spooler"})


def warn_of_target(decorator: str, name: str, target: str) -> None:
    """Say that a target has no meaning here, where it would have had one."""
    if target not in _ANY:
        TASK_TARGET_IGNORED.log(
            logger,
            "%(decorator)s(target=%(target)r) of %(task)s: runs once, in any process that runs "
            "consumers",
            cause="target",
            decorator=decorator,
            target=target,
            task=name,
        )
