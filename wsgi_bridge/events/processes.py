"""What worker processes say, under whatever server, and the supervisor of `wsgi-bridge worker`."""

from logging import ERROR, WARNING

from wsgi_bridge.events.event import EACH, Event
from wsgi_bridge.events.server import REPORT

WORKER_LAYER_AWAITED = Event(
    "worker.layer_awaited",
    WARNING,
    "A worker process cannot begin, for the layer is away. Said every so often.",
    "Bring the layer back; the cause is its own.",
    lines=EACH,
)
WORKER_DIED = Event(
    "worker.died",
    ERROR,
    "A worker process ended that nobody had stopped; another takes its place.",
    "`busy` names the consumers that it was at. SIGKILL is often the kernel, out of memory: see "
    "`--max-memory`.",
    ("pid", "busy", "seconds", "deaths"),
    lines=EACH,
)
WORKER_KILLED = Event(
    "worker.killed",
    WARNING,
    "A worker process that was to stop did not end by itself.",
    "Give `--graceful-timeout` what the longest consumer needs.",
    ("pid", "busy"),
    lines=EACH,
)
WORKER_NOT_STARTED = Event(
    "worker.not_started",
    ERROR,
    "No process can be made; it is tried again.",
    "Look at the limit of processes and at memory.",
)
WORKER_NOT_RELOADED = Event(
    "worker.not_reloaded",
    ERROR,
    "The new code cannot be run; the processes of before go on.",
    "Mend the code; the cause says what failed.",
    lines=EACH,
)
WORKER_NOT_IMPORTED = Event(
    "worker.not_imported",
    ERROR,
    "The target of `wsgi-bridge worker` raised at its import.",
    "Mend the site; the traceback says where.",
    ("target",),
)
WORKER_CONSUMER_SLOW = Event(
    "worker.consumer_slow",
    WARNING,
    "A consumer is at work for long, and where. Once for each run.",
    "Nothing, if it is meant to take so long; else the line shows what it waits for.",
    ("consumer", "stack"),
    lines=EACH,
)
WORKER_CONSUMER_ABANDONED = Event(
    "worker.consumer_abandoned",
    ERROR,
    "A consumer was not done within `--graceful-timeout`, and ends with its process.",
    "Give it more time, or have it take less.",
    ("consumer",),
    lines=EACH,
)
WORKER_WATCH_FAILED = Event(
    "worker.watch_failed",
    ERROR,
    "The thread that watches a worker process failed once; it goes on.",
    REPORT,
)
SYSTEMD_NOT_TOLD = Event(
    "systemd.not_told",
    WARNING,
    "systemd could not be told that the worker is ready, or stops.",
    "Look at `NOTIFY_SOCKET`, and at what the unit lets the process do.",
    ("state",),
)
WORKER_CONSUMER_UNFINISHED = Event(
    "worker.consumer_unfinished",
    WARNING,
    "A consumer in a native thread was not done when its worker ended, and ends with it.",
    "Give `graceful_timeout` more, or have the consumer take less.",
    ("consumer",),
    lines=EACH,
)
LAYER_NOT_USED = Event(
    "layer.not_used",
    WARNING,
    "The layer that the site gives to `Bridge` is not used: servers do not load the site (under "
    "`SplitWorker`, and in uWSGI's terminators).",
    "Set `CHANNEL_LAYER`; for uWSGI say `--layer`.",
    lines=EACH,
)
