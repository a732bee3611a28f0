"""gunicorn's settings in the audits of sockets: a server leaves its figures when it ends."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

from tests.audit.logs import Log

if float(os.environ.get("AUDIT_LIFE") or 0):
    from wsgi_bridge.layers.redis import keeper

    keeper.LIFE = float(os.environ["AUDIT_LIFE"])


def worker_exit(_: Any, worker: Any) -> None:
    """Write PID.counters, if it holds sockets."""
    server = getattr(worker, "server", None)
    if server is not None:
        log = Log(os.environ["AUDIT_FOLDER"], "counters", str(worker.pid))
        log.write(json.dumps(dataclasses.asdict(server.counters)))
