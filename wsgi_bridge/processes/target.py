"""From `module:attribute` to a Bridge; what is wrong with a target, in one sentence."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from typing import Any

from wsgi_bridge.bridge import Bridge
from wsgi_bridge.events.processes import WORKER_NOT_IMPORTED

__all__ = ["DEFAULT_ATTRIBUTE", "BadTarget", "choose_channels", "load_target", "split_target"]

logger = logging.getLogger(__name__)

# What gunicorn looks for in a module that stands alone.
DEFAULT_ATTRIBUTE = "application"


class BadTarget(Exception):
    """There is nothing to run; `str()` of it is one sentence, with the cure.

    `is_misuse`: the command line is wrong, not the site.
    """

    def __init__(self, text: str, *, is_misuse: bool = False) -> None:
        super().__init__(text)
        self.is_misuse = is_misuse


def split_target(target: str) -> tuple[str, str]:
    """Return the module and the attribute that a target names; raises BadTarget."""
    module, _, attribute = target.partition(":")
    names = [*module.split("."), *(attribute or DEFAULT_ATTRIBUTE).split(".")]
    if not all(name.isidentifier() for name in names):
        raise BadTarget(
            f"{target!r} is no target: expected module:attribute, such as "
            f"mysite.realtime:{DEFAULT_ATTRIBUTE}",
            is_misuse=True,
        )
    return module, attribute or DEFAULT_ATTRIBUTE


def load_target(target: str) -> Bridge:
    """Import what `target` names, and return it as a Bridge; a plain WSGI callable is wrapped.

    Raises BadTarget, when the site's own traceback has been logged.
    """
    module, attribute = split_target(target)
    found = _import(module)
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise BadTarget(f"{module} has no {attribute!r}: name the Bridge of the site in it")
        found = getattr(found, name)
    if isinstance(found, Bridge):
        return found
    if not callable(found):
        raise BadTarget(f"{target} is {type(found).__name__}, neither a Bridge nor a WSGI callable")
    return Bridge(found)


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and f"{name}.".startswith(f"{exc.name}."):
            raise BadTarget(
                f"there is no module {exc.name!r} here: run this in the directory of the site, or "
                "say --chdir"
            ) from exc
        raise _failed(name, exc) from exc
    except (Exception, SystemExit) as exc:  # the site's code: whatever it does at its import
        raise _failed(name, exc) from exc


def _failed(name: str, exc: BaseException) -> BadTarget:
    WORKER_NOT_IMPORTED.log(
        logger, "%(target)s could not be imported", cause=exc, exc_info=exc, target=name
    )
    return BadTarget(f"{name} could not be imported: {type(exc).__name__}: {exc}")


def choose_channels(
    channels: Iterable[str], only: Collection[str], exclude: Collection[str]
) -> list[str]:
    """Return those channels that match a pattern of `only` (if any) and none of `exclude`.

    Raises BadTarget when none is left.
    """
    known = sorted(channels)
    chosen = [
        name for name in known if (not only or _matches(name, only)) and not _matches(name, exclude)
    ]
    if not chosen:
        raise BadTarget(
            f"--only and --exclude leave no channel; this site has {', '.join(known)}",
            is_misuse=True,
        )
    return chosen


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
