"""The beginning and the end of a mule's process."""

from __future__ import annotations

import atexit
import logging
import os
import sys
from typing import NoReturn

__all__ = ["end_process", "start_logging"]

LOG_FORMAT = "%(asctime)s [%(process)d] %(levelname)s %(name)s: %(message)s"


def start_logging() -> None:
    """Have a mule log to where uWSGI does, unless the site has said where to."""
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)


def end_process() -> NoReturn:
    """End a mule, when what the site wants done at the exit is done.

    Without the end of the interpreter: behind uWSGI's own, gevent's locks fail where it has
    patched, and a consumer that does not end would not let the process.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)
