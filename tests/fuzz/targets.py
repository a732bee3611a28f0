"""All targets, by name."""

from __future__ import annotations

from tests.fuzz import frames, request_streams

TARGETS = {target.name: target for target in (request_streams.TARGET, frames.TARGET)}
