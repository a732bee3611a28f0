"""Event: a fault that the log tells of, under a name that stays.

    SLOW_CLIENT.log(logger, "closing %(path)s: %(waiting)d bytes wait",
                    cause="write_buffer", path=path, waiting=size)

is one line for people. Its record has besides, as attributes, `event`, the name; `cause`, what
brought it about; each field; and `suppressed`, how many were left out before (`bursts`). Formatters
that know `extra` show them: `wsgi_bridge.logs.JsonFormatter`, python-json-logger, structlog.

A line never has a body, a cookie or a key; a test reads that every warning and error is an Event.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from wsgi_bridge.events.bursts import Line, Log, bursts

__all__ = ["EACH", "LINES", "Event"]

#: Lines of an event, and of a kind of cause, in one burst: enough to see what they have in common.
LINES = 5
#: For an event that is told each time: no storm of it is possible, or each says something else.
EACH = 1_000_000_000

_PLAIN = (str, int, float, type(None))


@dataclass(frozen=True)
class Event:
    """What may be said, and what docs/reference/events.md has of it.

    `when` and `remedy` are sentences in Markdown; `fields` are the names of its fields, of which a
    line may lack some; `lines` is how many a burst may have; the fields of `by` tell bursts apart.
    """

    name: str
    level: int
    when: str
    remedy: str
    fields: tuple[str, ...] = ()
    lines: int = LINES
    by: tuple[str, ...] = ()

    def log(
        self, log: Log, text: str, *, cause: object, exc_info: Any = None, **fields: object
    ) -> None:
        """Log it, unless a burst of it has had its lines; does not raise.

        `text` has the fields, and `cause`, as `%(name)s`. `cause` is an exception, or a word or two
        that stay the same. With `exc_info` the traceback is shown, as in logging.
        """
        is_raised = isinstance(cause, BaseException)
        values = {"cause": cause, **fields}
        extra = {
            "event": self.name,
            "cause": f"{type(cause).__name__}: {cause}" if is_raised else str(cause),
            **{key: _plain(value) for key, value in fields.items()},
        }
        key = (self.name, type(cause) if is_raised else cause, *(extra[name] for name in self.by))
        if bursts.is_admitted(key, self.lines):
            log.log(self.level, text, values, exc_info=exc_info, extra=extra, **_caller(log))
            return
        bursts.suppress(key, Line(log, self.level, text % values, extra))
        log.log(logging.DEBUG, text, values, exc_info=exc_info, extra=extra, **_caller(log))


def _plain(value: object) -> str | int | float | None:
    return value if isinstance(value, _PLAIN) else str(value)


def _caller(log: Log) -> dict[str, int]:
    """Have the record name the line of the caller; gunicorn's logger is a function deeper."""
    return {"stacklevel": 2 if isinstance(log, logging.Logger) else 3}
