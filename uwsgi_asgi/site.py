"""Which site's consumers a mule runs: that of the fragment's `--app`, else the one uWSGI serves."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Mapping
from typing import Any

from uwsgi_asgi.handoff import HandOff
from uwsgi_asgi.options import Options
from wsgi_bridge.bridge import Bridge
from wsgi_bridge.events.processes import WORKER_NOT_IMPORTED
from wsgi_bridge.processes.target import DEFAULT_ATTRIBUTE, BadTarget, load_target

__all__ = ["find_target", "load_site"]

logger = logging.getLogger(__name__)

# uWSGI's options that name a module, and a file.
MODULE_OPTIONS = ("module", "wsgi", "w")
FILE_OPTIONS = ("wsgi-file", "file")
# What a site that is a file and no module is called, in a mule.
_FILE_MODULE = "uwsgi_asgi_site_file"

NO_TARGET = (
    "uWSGI names neither module nor wsgi-file: say by --app what the consumers are of, such as "
    "mysite.realtime:application"
)


def load_site(options: Options, opt: Mapping[str, Any]) -> Bridge:
    """Return the Bridge of the site; ``opt`` is uWSGI's configuration. Raises BadTarget."""
    target = options.app or find_target(opt)
    path, _, attribute = target.rpartition(":")
    if path.endswith(".py"):
        _load_file(path)
        target = f"{_FILE_MODULE}:{attribute}"
    bridge = load_target(target)
    if not isinstance(bridge.app, HandOff):
        return bridge
    # What hands over has no business here: it is for the worker.
    inner = bridge.app.app
    return inner if isinstance(inner, Bridge) else Bridge(inner)


def find_target(opt: Mapping[str, Any]) -> str:
    """Return what uWSGI serves, as ``module:attribute`` or ``file.py:attribute``."""
    attribute = _text(opt.get("callable", DEFAULT_ATTRIBUTE))
    for name in MODULE_OPTIONS:
        if name in opt:
            module, _, own = _text(opt[name]).partition(":")
            return f"{module}:{own or attribute}"
    for name in FILE_OPTIONS:
        if name in opt:
            return f"{_text(opt[name])}:{attribute}"
    raise BadTarget(NO_TARGET)


def _load_file(path: str) -> None:
    """Import a file that is no module. Raises BadTarget."""
    spec = importlib.util.spec_from_file_location(_FILE_MODULE, path)
    if spec is None or spec.loader is None:
        raise BadTarget(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_FILE_MODULE] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as exc:  # the site's code: whatever it does at its import
        WORKER_NOT_IMPORTED.log(
            logger, "%(target)s could not be imported", cause=exc, exc_info=True, target=path
        )
        raise BadTarget(f"{path} could not be imported: {type(exc).__name__}: {exc}") from exc


def _text(value: Any) -> str:
    """Return an option's value; the last one, if it was given more than once."""
    last = value[-1] if isinstance(value, list) else value
    return last.decode() if isinstance(last, bytes) else str(last)
