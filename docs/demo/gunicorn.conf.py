"""What `make demo` adds to gunicorn: its button may redeploy the site, as `kill -HUP` would.

gunicorn reads this file because it stands where gunicorn is started. Everything else about the
server is on the command line, in the Makefile. `releases` reads the two variables.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# A stream of the tide that is open at a redeploy is cut after nine tenths of it less a second.
graceful_timeout = 5
control_socket_disable = True


def on_starting(server: object) -> None:
    """Name the master that may be told to reload, and a place for what the button writes."""
    os.environ["DEMO_MASTER"] = str(os.getpid())
    os.environ["DEMO_RELEASES"] = directory = tempfile.mkdtemp(prefix="narrows-")
    atexit.register(_remove, directory, os.getpid())


def _remove(directory: str, master: int) -> None:
    if os.getpid() == master:  # its workers are forks of it, and end as well
        shutil.rmtree(directory, ignore_errors=True)
