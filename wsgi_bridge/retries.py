"""Messages that a consumer puts off: `ConsumeLater`, on the layer's scheduled messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wsgi_bridge.exceptions import ConsumeLater

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer
    from wsgi_bridge.routing import Route

__all__ = ["ATTEMPT", "put_off"]

#: The key of a message that says how often it was put off (MESSAGES.md section 4).
ATTEMPT = "attempt"
#: Seconds that a message is put off at most when its consumer names no delay. Five minutes find a
#: service again soon after it is back, and do not keep it down.
MAX_BACKOFF = 300.0


def put_off(
    layer: BaseLayer, route: Route, channel: str, content: dict[str, Any], exc: BaseException
) -> float | None:
    """Schedule a message for later; return when it is due, None if it had its retries.

    Raises what the layer does; NotImplementedError if it has no storage.
    """
    attempt = content.get(ATTEMPT, 0)
    if type(attempt) is not int or attempt >= route.retries:
        return None
    delay = exc.delay if isinstance(exc, ConsumeLater) else None
    if delay is None:
        delay = min(route.backoff * 2.0**attempt, MAX_BACKOFF)
    due = layer.clock() + delay
    layer.storage.schedule(channel, {**content, ATTEMPT: attempt + 1}, due)
    return due
