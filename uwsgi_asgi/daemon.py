"""`python -m uwsgi_asgi.daemon`: a terminator that is no mule, and outlives a reload of uWSGI.

    smart-attach-daemon2 = /run/mysite/asgi.pid /srv/mysite/venv/bin/python -m uwsgi_asgi.daemon
        --pidfile /run/mysite/asgi.pid --listen /run/mysite/asgi.sock --layer ipc://mysite

(In one line.) uWSGI starts it, and starts it anew when it has died. It does not end it: what its
pidfile names goes on when uWSGI executes itself, and when it stops. What it holds comes through its
own socket, past the workers (`listener`); consumers are the mules', by way of a layer that both
know by name.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from uwsgi_asgi.listening import open_listener
from uwsgi_asgi.options import GRACEFUL_TIMEOUT, LISTEN_MODE, MAX_CONNECTIONS, Options
from uwsgi_asgi.process import end_process, start_logging
from uwsgi_asgi.queue import ConnectionQueue
from uwsgi_asgi.runtime import Runtime
from uwsgi_asgi.seats import Seats
from uwsgi_asgi.terminator import run_terminator
from wsgi_bridge.bridge import LAYER_VARIABLE
from wsgi_bridge.processes.attendance import Presence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Hold sockets until a signal says that it is enough (INT, TERM or HUP); then close them."""
    given = _parser().parse_args(arguments)
    with _pidfile(given.pidfile):  # first: uWSGI looks for it
        start_logging()
        os.environ[LAYER_VARIABLE] = given.layer
        options = Options(
            listen=given.listen,
            max_connections=given.max_connections,
            graceful_timeout=given.graceful_timeout,
        )
        listener = open_listener(given.listen, int(given.listen_mode, 8))
        # Neither workers nor consumers are of its own: nothing comes through its queue.
        queue, seats = ConnectionQueue.make(), Seats(0, 1)
        run_terminator(Runtime(options, queue, seats, Presence(), (listener,)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m uwsgi_asgi.daemon",
        description="Hold sockets beside a uWSGI, also while that is reloaded.",
    )
    add = parser.add_argument
    add("--pidfile", metavar="PATH", type=Path, required=True, help="the one that uWSGI is told")
    add(
        "--listen",
        metavar="ADDRESS",
        required=True,
        help="a path or HOST:PORT for `uwsgi_pass` of nginx",
    )
    add(
        "--listen-mode",
        metavar="OCTAL",
        default=LISTEN_MODE,
        help="permissions of a path (default: %(default)s)",
    )
    add("--layer", metavar="URL", type=_layer, required=True, help="that of the fragment's --layer")
    add(
        "--max-connections",
        metavar="N",
        type=int,
        default=MAX_CONNECTIONS,
        help="sockets and requests at once (default: %(default)s)",
    )
    add(
        "--graceful-timeout",
        metavar="SECONDS",
        type=float,
        default=GRACEFUL_TIMEOUT,
        help="for what is under way when it stops (default: %(default)s)",
    )
    return parser


def _layer(text: str) -> str:
    if text.startswith("memory:") or "://" not in text or text.endswith("://"):
        raise argparse.ArgumentTypeError(
            f"expected one that others find by its name, such as ipc://mysite, not {text}"
        )
    return text


@contextlib.contextmanager
def _pidfile(path: Path) -> Iterator[None]:
    """Say who this is while the block runs."""
    path.write_text(f"{os.getpid()}\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main(sys.argv[1:])
    end_process()
