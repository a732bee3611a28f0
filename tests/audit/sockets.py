"""The audit of sockets: a server that holds them, worker processes beside it that are killed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import psutil

from tests.audit.backend import PREFIX, Backend
from tests.audit.plan import Plan
from tests.audit.queues import TICK
from tests.audit.socket_account import (
    SocketAccount,
    SocketHistory,
    read_socket_history,
    settle_sockets,
)
from tests.audit.socket_clients import Clients
from tests.integration.servers import Server, run_server
from tests.integration.workers import WorkerCommand, run_worker

__all__ = ["SETTINGS", "audit_sockets", "layer_url", "make_environ", "run_pure_server", "url_of"]

SITE = "tests.audit.socket_site:application"
SETTINGS = "python:tests.audit.gunicorn_settings"

#: Threads of a worker process.
THREADS = 4

#: Seconds beyond the layer's expiry that an answer may take on a busy machine.
PATIENCE = 20.0


def audit_sockets(plan: Plan, backend: Backend) -> SocketAccount:
    """Run the audit that `plan` describes, and return its account."""
    history = SocketHistory(plan.expiry, THREADS)
    folder = Path(plan.folder)
    environ = make_environ(plan)
    options = ("--processes", str(plan.workers), "--threads", str(THREADS))
    with (
        run_pure_server(plan) as server,
        run_worker(SITE, folder, *options, layer=layer_url(plan), env=environ) as worker,
    ):
        patience = plan.expiry + PATIENCE
        clients = Clients(url_of(server), plan.sockets, plan.rate, patience, plan.seed)
        with clients:
            history.sockets = clients.sockets
            clients.start()
            _kill_now_and_then(plan, worker, history, clients)
            clients.settle()
    read_socket_history(plan.folder, history)
    return settle_sockets(history)


def layer_url(plan: Plan) -> str:
    """Return the layer's URL, for programs that are given nothing else."""
    options = f"?expiry={plan.expiry}&capacity={max(plan.capacity, 2 * plan.sockets)}"
    return plan.url + options + (f"&prefix={PREFIX}" if plan.scheme.startswith("redis") else "")


def make_environ(plan: Plan) -> dict[str, str]:
    """Return what the processes are told."""
    return {
        "AUDIT_FOLDER": plan.folder,
        "AUDIT_SABOTAGE": plan.sabotage,
        "AUDIT_LIFE": str(plan.life),
        "CHANNEL_LAYER": layer_url(plan),
    }


def run_pure_server(plan: Plan) -> contextlib.AbstractContextManager[Server]:
    """Run a gunicorn that holds the sockets, and has no site."""
    return run_server(
        "there_is_no_such_module:application",
        args=["-c", SETTINGS, "--worker-connections", str(2 * plan.sockets)],
        env={**make_environ(plan), "ASGI_CONSUMERS": "none"},
    )


def url_of(server: Server) -> str:
    """Return where its sockets are."""
    return f"ws://127.0.0.1:{server.port}"


def _kill_now_and_then(
    plan: Plan, worker: WorkerCommand, history: SocketHistory, clients: Clients
) -> None:
    """Let it run, and kill a worker process every `kill_every` seconds."""
    chance = random.Random(plan.seed)
    end = time.monotonic() + plan.seconds
    kill_at = time.monotonic() + (plan.kill_every or float("inf"))
    while (now := time.monotonic()) < end or _has_more_to_see(plan, history, clients, end):
        if now >= kill_at:
            _kill(worker, chance, history)
            kill_at += plan.kill_every
        time.sleep(TICK)


def _has_more_to_see(plan: Plan, history: SocketHistory, clients: Clients, end: float) -> bool:
    """Whether something has not happened yet that was asked for; at most for PATIENCE."""
    is_missing = clients.answered < plan.messages or (plan.kill_every and not history.kills)
    return bool(is_missing) and time.monotonic() < end + PATIENCE


def _kill(worker: WorkerCommand, chance: random.Random, history: SocketHistory) -> None:
    children = sorted(worker.children())
    if not children:
        return  # all were killed within a moment: none has been replaced yet
    victim = psutil.Process(chance.choice(children))
    begun = time.monotonic()
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
        history.kills.append((begun, time.monotonic()))
