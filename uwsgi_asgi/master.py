"""What the fragment has uWSGI's master import (`shared-import`), once, before it forks.

Imported, it prepares what workers and mules share. A configuration that cannot work ends uWSGI
here, with a sentence for each reason.
"""

from __future__ import annotations

import os
import sys

import uwsgi

from uwsgi_asgi.environment import refresh_environment
from uwsgi_asgi.runtime import prepare

# What uWSGI itself exits with when it cannot start.
_FAILED = 1


def _refuse(reasons: list[str]) -> None:
    for reason in reasons:
        print(f"uwsgi_asgi: {reason}", file=sys.stderr, flush=True)  # noqa: T201 - uWSGI's log
    # An exception would only be printed: uWSGI goes on without a module that it cannot import.
    os._exit(_FAILED)


refresh_environment()
if _reasons := prepare(uwsgi.opt, os.getpid()):
    _refuse(_reasons)
