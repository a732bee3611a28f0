"""What uWSGI's mules and workers say of ours. Of servers and consumers: `wsgi_bridge.events`."""

from logging import ERROR, WARNING

from wsgi_bridge.events.event import EACH, Event
from wsgi_bridge.events.server import REPORT

MULE_DIED = Event(
    "mule.died",
    ERROR,
    "The mule that ran consumers before ended, and nobody had stopped it; another took its place.",
    "`busy` names the consumers that it was at. SIGKILL is often the kernel, out of memory.",
    ("busy", "deaths"),
    lines=EACH,
)
MULE_DIED_YOUNG = Event(
    "mule.died_young",
    ERROR,
    "The mule that ran consumers before died as it started: the next one waits for `delay` "
    "seconds.",
    "Look at what it said before; the site may not be importable.",
    ("delay",),
    lines=EACH,
)
MULE_SITE_NOT_LOADED = Event(
    "mule.site_not_loaded",
    ERROR,
    "A mule cannot load the site; another one tries again.",
    "Mend the site, or what names it in the ini (`--app`).",
    lines=EACH,
)
MULE_SETTINGS_NOT_USED = Event(
    "mule.settings_not_used",
    WARNING,
    "Settings that the site gives to `Bridge` are not those of the terminators, which do not load "
    "the site.",
    "Say them in the ini, for all processes: `env = ASGI_ALLOWED_ORIGINS=…`.",
    ("settings",),
    lines=EACH,
)
HANDOFF_FULL = Event(
    "handoff.full",
    WARNING,
    "The queue to the terminators is full, and a handshake or request is refused with 503.",
    "See that a terminator runs; have more of them (`--terminators`).",
    ("path",),
)
HANDOFF_INVALID = Event(
    "handoff.invalid",
    ERROR,
    "What came through the queue to a terminator is no connection; it was dropped.",
    REPORT,
)
HANDOFF_PAUSED = Event(
    "handoff.paused",
    WARNING,
    "A terminator has as many connections as it may: others wait in the queue.",
    "Raise the limit of open files (`ulimit -n`, systemd's `LimitNOFILE`), or have more "
    "terminators.",
)
LISTENER_INVALID = Event(
    "listener.invalid",
    WARNING,
    "What came through the socket for the uwsgi protocol is no request, and was refused.",
    "See that nginx speaks to it by `uwsgi_pass`, and not by `proxy_pass`.",
)
