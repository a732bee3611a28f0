"""`python -m tests.conformance`: our worker and its peers by the same measures."""

import argparse
import platform
import shlex
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.benchmarks.report import table
from tests.benchmarks.servers import Server, raise_descriptor_limit, running
from tests.conformance.columns import COLUMNS, Column, Finding

APPS = "tests.conformance.apps"
MARK = "<!-- what follows is written by `make conformance` -->\n"
PACKAGES = ("wsgi-bridge", "gunicorn", "gevent", "uvicorn", "websockets", "daphne", "kosoku")
PACKAGES += ("simple-websocket", "gevent-websocket")


def gunicorn(name: str, app: str, worker: str, *options: str) -> Server:
    """Return one worker process of gunicorn."""
    command = (sys.executable, "-m", "gunicorn", "-k", worker, "-b", "127.0.0.1:0")
    command += ("--no-control-socket", *options, f"{APPS}.{app}:application")
    return Server(name, command, has_arbiter=True, workers=1)


def program(name: str, *options: str) -> Server:
    """Return an ASGI server that is a program by itself."""
    command = (sys.executable, "-m", name, *options, f"{APPS}.echo_asgi:application")
    return Server(name, command)


SERVERS = (
    gunicorn("ours", "echo_bridge", "gunicorn_asgi.Worker"),
    gunicorn("gunicorn gevent, simple-websocket", "echo_hijack", "gevent"),
    gunicorn(
        "gunicorn, gevent-websocket",
        "echo_gevent_websocket",
        "geventwebsocket.gunicorn.workers.GeventWebSocketWorker",
    ),
    gunicorn("gunicorn asgi", "echo_asgi", "asgi"),
    program("uvicorn", "--host", "127.0.0.1", "--port", "0", "--lifespan", "off"),
    program("daphne", "-b", "127.0.0.1", "-p", "0"),
)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the options of `arguments`."""
    names, columns = [server.name for server in SERVERS], [column.name for column in COLUMNS]
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance", description="Compare our worker with its peers."
    )
    parser.add_argument("--quick", action="store_true", help="without what takes many minutes")
    parser.add_argument("--only", nargs="+", choices=columns, default=columns, metavar="COLUMN")
    parser.add_argument("--servers", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the table there")
    return parser.parse_args(arguments)


def measure(server: Server, column: Column, options: argparse.Namespace) -> Finding:
    """Return what a column finds of a server that is started for it."""
    print(f"{column.name}: {server.name}", file=sys.stderr, flush=True)
    try:
        with running(server, None) as live:
            found = column.measure(live, options)
    except RuntimeError as error:
        found = Finding("did not run", (str(error).splitlines()[0],))
    print(f"  {found.cell}", file=sys.stderr, flush=True)
    return found


def report(findings: dict[str, dict[str, Finding]], options: argparse.Namespace) -> str:
    """Return the table, and below it what each server did not do."""
    columns = [column for column in COLUMNS if column.name in options.only]
    rows = [("server", *(column.heading for column in columns))]
    rows += [
        (name, *(found[column.name].cell for column in columns)) for name, found in findings.items()
    ]
    parts = [f"`python -m tests.conformance {shlex.join(sys.argv[1:])}`", _versions(), table(rows)]
    for column in columns:
        parts.append(f"## {column.heading}")
        for name, found in findings.items():
            details = found[column.name].details
            parts += [f"{name}:\n\n" + "\n".join(f"- {line}" for line in details)] * bool(details)
    return "\n\n".join(parts) + "\n"


def _versions() -> str:
    found = []
    for name in PACKAGES:
        with suppress(PackageNotFoundError):  # ours may run from its folder
            found.append(f"{name} {version(name)}")
    return f"Python {platform.python_version()}. {', '.join(found)}."


def main(arguments: list[str]) -> None:
    """Measure, print, and write."""
    options = parse(arguments)
    raise_descriptor_limit()
    findings = {
        server.name: {
            column.name: measure(server, column, options)
            for column in COLUMNS
            if column.name in options.only
        }
        for server in SERVERS
        if server.name in options.servers
    }
    text = report(findings, options)
    print(text)
    if options.markdown:
        prose = options.markdown.read_text().partition(MARK)[0]
        options.markdown.write_text(f"{prose}{MARK}\n{text}")


if __name__ == "__main__":
    main(sys.argv[1:])
