"""JsonFormatter: a line of JSON for each record, with the fields of events.

To be named in a configuration of logging, gunicorn's `logconfig_dict` among them:

    "formatters": {"json": {"()": "wsgi_bridge.logs.JsonFormatter"}}

Not a logging library: what a record has as an attribute of its own (`extra`) is a key, and so
structlog's and everybody's fields are there too.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import Any

__all__ = ["RESERVED", "JsonFormatter"]

#: The attributes that every record has: no field may have the name of one.
RESERVED = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"},
)


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON, in ASCII.

    `time` (ISO 8601, UTC), `level`, `logger`, `pid`, `thread`, `message`; then what the record has
    of its own: for an event `event`, `cause` and its fields. `exception` is a traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": _iso_time(record.created),
            "level": record.levelname,
            "logger": record.name,
            "pid": record.process,
            "thread": record.threadName,
            "message": record.getMessage(),
        }
        for name, value in vars(record).items():
            if name not in RESERVED:
                line.setdefault(name, value)
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = self.formatException(record.exc_info)
        elif record.exc_text:  # it came from another process, or was formatted before
            line["exception"] = record.exc_text
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return json.dumps(line, default=str)


def _iso_time(created: float) -> str:
    time = datetime.fromtimestamp(created, timezone.utc)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
