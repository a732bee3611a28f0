"""gunicorn's settings in a soak: what is logged has a level, and each worker says what it holds.

What only the process itself knows it writes to SOAK_FOLDER/PID.figures, now and then.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

import greenlet

#: Where the figures go.
FOLDER = "SOAK_FOLDER"

#: Seconds between two looks.
INTERVAL = 2.0

#: As gunicorn's own, so that one pattern reads both.
FORM = "[%(asctime)s] [%(process)d] [%(levelname)s] %(name)s: %(message)s"


def post_fork(_: Any, __: Any) -> None:
    """Give a form to what the packages log; without it Python would print bare messages."""
    logging.basicConfig(level=logging.WARNING, format=FORM)


def post_worker_init(worker: Any) -> None:
    """Begin to write: in a greenlet where the process is patched, else in a thread."""
    threading.Thread(target=_write_on, args=(worker,), daemon=True).start()


def _write_on(worker: Any) -> None:
    path = Path(os.environ[FOLDER]) / f"{worker.pid}.figures"
    part = path.with_suffix(".part")
    while True:
        part.write_text(json.dumps(_figures(worker)))
        part.rename(path)
        time.sleep(INTERVAL)


def _figures(worker: Any) -> dict[str, Any]:
    # What was there before the first request is frozen, and not looked at.
    objects = gc.get_objects()
    figures: dict[str, Any] = {
        "role": type(worker).__name__,
        "objects": len(objects),
        "greenlets": sum(isinstance(each, greenlet.greenlet) for each in objects),
    }
    server = getattr(worker, "server", None)
    if server is not None:
        figures["connections"] = server.counters.connections
        figures["websockets"] = server.counters.websockets
    return figures
