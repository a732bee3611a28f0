"""Settings of the packages that were said where nobody reads them: gunicorn does not complain.

It takes any name in its configuration file for the site's own, and any variable. So these are
looked at once, at the start.
"""

from __future__ import annotations

import difflib
import os
import sys
from dataclasses import fields
from typing import Any

from gunicorn_asgi.events import SETTING_MISPLACED
from wsgi_bridge.settings import ENVIRONMENT_PREFIX, Settings

__all__ = ["warn_of_misplaced"]

# The module that gunicorn makes of a configuration file; one given as `python:NAME` has its own.
CONFIGURATION = "__config__"
# How alike a variable is to the one that was meant, out of 1: one letter of ten wrong.
LIKENESS = 0.85


def warn_of_misplaced(cfg: Any, log: Any) -> None:
    """Warn of settings in gunicorn's configuration file, and of variables with a slip in them."""
    variables = {ENVIRONMENT_PREFIX + item.name.upper(): item.name for item in fields(Settings)}
    configuration = _read_configuration(cfg)
    for variable, name in variables.items():
        if name in configuration and variable not in os.environ:
            SETTING_MISPLACED.log(
                log,
                "%(setting)s has no effect in gunicorn's configuration: say Bridge(site, "
                "%(setting)s=...) in the site, or %(variable)s in the environment (raw_env)",
                cause="configuration file",
                setting=name,
                variable=variable,
            )
    for unknown in sorted(os.environ):
        meant = _find_meant(unknown, variables)
        if meant is not None:
            SETTING_MISPLACED.log(
                log,
                "the variable %(setting)s has no effect: %(variable)s is meant?",
                cause="unknown variable",
                setting=unknown,
                variable=meant,
            )


def _read_configuration(cfg: Any) -> dict[str, Any]:
    named = str(cfg.config or "")
    prefix = "python:"
    module = sys.modules.get(
        named.removeprefix(prefix) if named.startswith(prefix) else CONFIGURATION
    )
    return {} if module is None else vars(module)


def _find_meant(variable: str, variables: dict[str, str]) -> str | None:
    """Return what a variable nearly is; None for one that is right, or another program's."""
    if not variable.startswith(ENVIRONMENT_PREFIX) or variable in variables:
        return None
    return next(iter(difflib.get_close_matches(variable, variables, n=1, cutoff=LIKENESS)), None)
