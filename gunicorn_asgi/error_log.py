"""gunicorn's error log, for what the packages say: in the file, the syslog and the form it has.

Without it their warnings and errors would go to stderr only, as Python does with what nobody takes:
past `errorlog`, and with `daemon` nowhere. A site that configures logging itself has the say.
"""

from __future__ import annotations

import logging
from typing import Any

__all__ = ["ErrorLog", "open_error_log"]

PACKAGES = ("gunicorn_asgi", "wsgi_bridge")


class ErrorLog(logging.Handler):
    """Hands on to gunicorn's logger what no other handler takes, whenever that was configured."""

    def __init__(self, log: logging.Logger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Have gunicorn write it."""
        if not is_taken(record.name):
            self._log.handle(record)


def open_error_log(log: Any) -> None:
    """Have the packages' loggers write to the error log of gunicorn's ``log``.

    ``log`` may be of a class of the site's own (`logger_class`), which has none: then nothing is
    changed. Their level is gunicorn's `loglevel` but for INFO, its default, at which they would
    tell of every client that goes away.
    """
    error_log = getattr(log, "error_log", None)
    if not isinstance(error_log, logging.Logger):
        return
    for name in PACKAGES:
        logger = logging.getLogger(name)
        if is_taken(name) or any(isinstance(handler, ErrorLog) for handler in logger.handlers):
            continue
        logger.addHandler(ErrorLog(error_log))
        if logger.level == logging.NOTSET and error_log.level != logging.INFO:
            logger.setLevel(error_log.level)


def is_taken(name: str) -> bool:
    """Whether a handler of somebody else's takes what the logger of that name says."""
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None:
        if any(not isinstance(handler, ErrorLog) for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False
