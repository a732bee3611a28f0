"""The frames of a group with history, as a client sees them (MESSAGES.md section 3).

Each is a JSON text. A message of the group, with its place in the group's log:

    {"epoch": "Qx3…", "offset": 17, "data": "the text that was sent to the group"}

and what a client that comes back is told before anything else: where the log ends now, and all
texts after the place that it named, or null where not all of them are there any more:

    {"group": "orders", "epoch": "Qx3…", "offset": 17, "recovered": ["…", "…"]}

The server makes the first kind, once in each process, of a group message that has the keys `epoch`
and `offset`; the second is an answer like any other, made by `Group.subscribe`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["enveloped", "has_place", "recovery_text"]


def has_place(message: Mapping[str, Any]) -> bool:
    """Whether a group message carries its place in a log: what else has these names is none."""
    if "offset" not in message or "epoch" not in message:
        return False
    return type(message["offset"]) is int and type(message["epoch"]) is str


def enveloped(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a message with a place as it is sent to clients; one without text as it is."""
    text = message.get("text")
    if not isinstance(text, str):
        return message
    frame = {"epoch": message["epoch"], "offset": message["offset"], "data": text}
    return {**message, "text": _encode(frame)}


def recovery_text(
    group: str, epoch: str, offset: int, messages: Sequence[Mapping[str, Any]] | None
) -> str:
    """Return what tells a client what it missed; None says that it cannot be told."""
    texts = None if messages is None else [message.get("text") for message in messages]
    return _encode({"group": group, "epoch": epoch, "offset": offset, "recovered": texts})


def _encode(frame: dict[str, Any]) -> str:
    return json.dumps(frame, separators=(",", ":"))
