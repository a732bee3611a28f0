"""The water level under the bridge: a made-up gauge that is read once a second.

A reading is a function of the clock, so there is nothing to start or to share: everybody who waits
for reading number n gets the same one at the same moment, by whatever road it comes.
"""

from __future__ import annotations

import math
import time
from typing import TypedDict

INTERVAL = 1.0  # seconds between readings: slow enough to read, fast enough to see move


class Reading(TypedDict):
    number: int
    level: float  # centimetres


def latest() -> Reading:
    """Return the newest reading."""
    return _reading(int(time.time() / INTERVAL))


def wait_for_next(number: int, timeout: float) -> Reading | None:
    """Sleep until there is a reading after `number`.

    Returns the newest reading, or None when `timeout` seconds would not be enough. Blocks.
    """
    delay = (number + 1) * INTERVAL - time.time()
    if delay > timeout:
        return None
    time.sleep(max(0.0, delay))
    return latest()


def _reading(number: int) -> Reading:
    swell = 21 * math.sin(number / 11) + 6 * math.sin(number / 3.1) + 2 * math.sin(number * 1.7)
    return {"number": number, "level": round(240 + 70 * math.sin(number / 89) + swell, 1)}
