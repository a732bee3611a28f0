"""The command line of the audits: `python -m tests.audit URL [AUDIT]`."""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence

from tests.audit.backend import Backend
from tests.audit.groups import audit_groups
from tests.audit.growth import audit_growth
from tests.audit.plan import Plan
from tests.audit.queues import audit_queues
from tests.audit.redeploys import ARRANGEMENTS, audit_redeploys
from tests.audit.report import AnyAccount, table
from tests.audit.sabotage import SABOTAGES
from tests.audit.sockets import audit_sockets

AUDITS: dict[str, Callable[[Plan, Backend], AnyAccount]] = {
    "queues": audit_queues,
    "groups": audit_groups,
    "growth": audit_growth,
    "sockets": audit_sockets,
    "redeploys": audit_redeploys,
}

#: Seconds between two kills, and between two restarts, where they are asked for without a number.
KILL_EVERY = 3.0
RESTART_EVERY = 15.0

#: Messages a second of each sender, or socket: a group message is delivered a thousand times.
RATES = {"queues": 1000.0, "groups": 50.0, "growth": 0.0, "sockets": 3.0, "redeploys": 0.5}

#: Seconds. Short, so that messages expire; but a member that lets one expire leaves its groups.
EXPIRIES = {"queues": 4.0, "groups": 60.0, "growth": 4.0, "sockets": 10.0, "redeploys": 30.0}


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.audit",
        description="Account for every message that goes through a channel layer. "
        "The exit status is 1 if one is not accounted for.",
    )
    option = parser.add_argument
    option("url", help="of the layer; ipc, redis, memory: one that is made for the audit")
    option("audit", nargs="?", choices=AUDITS, default="queues", help="what to audit (queues)")
    option("--redis", type=int, nargs="?", const=1, default=0, metavar="N", help="start N servers")
    option("--seconds", type=float, default=Plan.seconds, help="length of the run (60)")
    option("--senders", type=int, default=Plan.senders, help="processes that send (2)")
    option("--receivers", type=int, default=Plan.receivers, help="processes that receive (3)")
    option("--channels", type=int, default=Plan.channels, help="normal channels (3)")
    option("--rate", type=float, help="messages a second of each sender; 0: as many as it can")
    option("--limit", type=int, default=Plan.limit, help="messages of one receive (16)")
    option("--expiry", type=float, help="of the layer, in seconds (4; of groups 60)")
    option("--capacity", type=int, default=Plan.capacity, help="of the layer (100)")
    option("--sockets", type=int, help="WebSockets (200; those of redeploys 1000)")
    option("--times", type=int, default=Plan.times, help="that consumers are replaced (20)")
    option("--arrangement", choices=ARRANGEMENTS, default="worker", help="that replaces them")
    option("--workers", type=int, default=Plan.workers, help="processes of consumers (4)")
    option("--members", type=int, default=Plan.members, help="of the group (1000)")
    option("--messages", type=int, help="to be sent at least (0); those of growth (1000000)")
    option("--bound", type=int, default=Plan.bound, help="bytes that are no growth (4000000)")
    option("--tolerance", type=float, default=Plan.tolerance, help="the same in parts (0.1)")
    option(
        *("--kill", "--kill-every"),
        type=float,
        nargs="?",
        const=KILL_EVERY,
        default=0.0,
        metavar="SECONDS",
        dest="kill_every",
        help="kill -9 a receiver so often (3)",
    )
    option("--kill-senders", action="store_true", help="kill senders as well")
    option(
        "--restart-backend",
        type=float,
        nargs="?",
        const=RESTART_EVERY,
        default=0.0,
        metavar="SECONDS",
        dest="restart_every",
        help="kill Redis so often (15), and start it empty",
    )
    option("--local-first", action="store_true", help="with a queue in each process before it")
    option("--sabotage", choices=SABOTAGES, default="", help="have the layer fail now and then")
    option("--life", type=float, default=0.0, help="seconds until Redis buries a silent process")
    option("--grace", type=float, default=0.0, help="seconds that figures outlive their channel")
    option("--seed", type=int, default=0, help="of what is left to chance")
    option("--json", action="store_true", help="print JSON in place of a table")
    return parser


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line; exits if they cannot be had together."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    _check(parser, options)
    if options.rate is None:
        options.rate = RATES[options.audit]
    if options.expiry is None:
        options.expiry = EXPIRIES[options.audit]
    if options.sockets is None:
        options.sockets = 1000 if options.audit == "redeploys" else Plan.sockets
    if options.messages is None:
        options.messages = 1_000_000 if options.audit == "growth" else 0
    return options


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    is_disturbed = options.kill_every or options.restart_every or options.local_first
    if options.url == "memory" and (options.audit != "queues" or is_disturbed):
        parser.error("memory is for one process: only queues, with nothing killed, and not local")
    if options.url == "redis":
        options.redis = options.redis or 1
    elif options.redis:
        parser.error("--redis starts servers: expected redis in place of a URL")
    if options.restart_every and not options.redis:
        parser.error("--restart-backend restarts servers of the audit: expected redis")
    if options.restart_every and options.audit != "queues":
        parser.error("--restart-backend is for the audit of queues")


def run(options: argparse.Namespace, folder: str) -> AnyAccount:
    """Run an audit whose logs go to `folder`, and return its account."""
    chosen = {name: value for name, value in vars(options).items() if name in Plan.names()}
    with Backend(options.url, options.redis) as backend:
        plan = Plan(**{**chosen, "url": backend.url, "folder": folder})
        return AUDITS[options.audit](plan, backend)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = read_options(arguments)
    folder = tempfile.mkdtemp(prefix="bridge-audit-logs-")
    keeps = False
    try:
        account = run(options, folder)
        keeps = not account.is_balanced
    except KeyboardInterrupt:
        return 130
    finally:
        if not keeps:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(account.dump(), indent=2) if options.json else table(account))
    if keeps:
        print(f"the logs are in {folder}", file=sys.stderr)
    return int(keeps)


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # of losses and outages, which are what this is about
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    sys.exit(main())
