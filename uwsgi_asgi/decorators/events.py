"""What is said of decorated functions."""

from logging import ERROR, WARNING

from wsgi_bridge.events.event import EACH, Event

TASK_TARGET_IGNORED = Event(
    "task.target_ignored",
    WARNING,
    "A `target=` of uWSGI's has no meaning over the channel layer: the function runs once, in any "
    "process that runs consumers.",
    "Leave it out, once the function is right that way; see "
    "[the decorators](../howto/uwsgi-decorators.md).",
    ("decorator", "target", "task"),
    lines=EACH,
)
TASK_NO_EFFECT = Event(
    "task.no_effect",
    WARNING,
    "A decorator does something under uWSGI only, and this process is of none.",
    "Call the function, or ask over HTTP.",
    ("decorator", "task"),
    lines=EACH,
)
TASK_POSTFORK_FAILED = Event(
    "task.postfork_failed",
    ERROR,
    "A function of `@postfork` raised; the process goes on, as under uWSGI.",
    "Mend the function.",
    ("task",),
    lines=EACH,
)
TASK_MULE_FAILED = Event(
    "task.mule_failed",
    ERROR,
    "A function of `@mule` or `@muleloop` raised; it begins again.",
    "Mend the function.",
    ("task",),
)
TASK_LEASE_LATE = Event(
    "task.lease_late",
    WARNING,
    "The layer is away, and what only one process may do at a time cannot be held yet: a job, a "
    "`@mule`, the `@lock`. It is tried again twice a second.",
    "See what is said of the layer.",
    ("key",),
)
TASK_LEASE_LOST = Event(
    "task.lease_lost",
    ERROR,
    "What only one process may do at a time is another's by now, and this one still does it: it "
    "stood still for too long, or the layer lost its data.",
    "Run what computes for long in threads, or in `wsgi-bridge worker --threads`.",
    ("key", "ttl"),
)
