"""Loading a site in a worker that is not one of the first: an error in it must not end the others.

gunicorn takes an exception there for a reason to end everything, healthy workers included. That is
right at the start, where nothing was served before.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from gunicorn_asgi.events import WORKER_SITE_NOT_LOADED

# Seconds between two attempts to load a site that cannot be loaded: gunicorn itself would not wait.
LOAD_RETRY = 1.0


def load_site(load: Callable[[], object], log: Any, *, may_halt: bool) -> None:
    """Call ``load``; unless it ``may_halt`` gunicorn by what it raises, end this process later.

    gunicorn makes another one then, which tries again. Waits for LOAD_RETRY.
    """
    if may_halt:
        load()
        return
    try:
        load()
    except Exception as exc:
        WORKER_SITE_NOT_LOADED.log(
            log, "the site cannot be loaded; it is tried again", cause=exc, exc_info=True
        )
        time.sleep(LOAD_RETRY)
        sys.exit(1)
