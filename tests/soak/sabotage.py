"""Sites that leak, complain or fail: the soak must find it."""

from __future__ import annotations

import itertools
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["SABOTAGES", "VARIABLE", "spoil"]

#: The variable that names sabotages, separated by commas.
VARIABLE = "SOAK_SABOTAGE"

#: One in so many requests is spoilt, where it is not each.
RARITY = 5

#: Bytes that a request leaks.
LEAK = 500_000

#: The descriptor that is doubled: any will do.
ANY_DESCRIPTOR = 2

_leaked: list[bytearray] = []
logger = logging.getLogger("site")


def leak_memory(_: int) -> None:
    _leaked.append(bytearray(b"x") * LEAK)


def leak_descriptors(number: int) -> None:
    if number % RARITY == 0:
        os.dup(ANY_DESCRIPTOR)


def leak_threads(number: int) -> None:
    if number % RARITY == 0:
        threading.Thread(target=threading.Event().wait, daemon=True).start()


def complain(number: int) -> None:
    if number % RARITY == 0:
        logger.error("nobody asked for this error")


def fail(number: int) -> None:
    if number % RARITY == 0:
        raise RuntimeError("nobody asked for this failure")


SABOTAGES: dict[str, Callable[[int], None]] = {
    "memory": leak_memory,
    "descriptors": leak_descriptors,
    "threads": leak_threads,
    "error": complain,
    "failure": fail,
}


def spoil(site: Callable[..., Any]) -> Callable[..., Any]:
    """Return the site, spoilt if the environment says how."""
    names = os.environ.get(VARIABLE)
    if not names:
        return site
    acts, numbers = [SABOTAGES[name] for name in names.split(",")], itertools.count(1)

    def spoilt(environ: dict[str, Any], start_response: Any) -> Any:
        number = next(numbers)
        for act in acts:
            act(number)
        return site(environ, start_response)

    return spoilt
