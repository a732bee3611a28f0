"""Add-ons: routes and recurring messages that a library adds to every Bridge of the process.

For a library whose users write decorators and no routing (uwsgi_asgi.decorators): once one of them
was used, all that starts to run a Bridge in the process receives on its channels, and keeps on the
timetable what it has said comes again and again. A site's own routes go first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, overload

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer
    from wsgi_bridge.routing import Entry

__all__ = ["AddOn", "AllRecurring", "Recurring", "install", "installed", "on_open"]


class Recurring(Protocol):
    """What is kept on a layer's timetable, under one key however many processes do that."""

    @property
    def channel(self) -> str:
        """Where it is put."""

    def schedule(self, layer: BaseLayer) -> None:
        """Put it on the timetable; if it is there, leave it its time. Raise ChannelLayerError."""


class AddOn(NamedTuple):
    """What a library adds.

    ``recurring`` may grow: what is new is on the timetable within a minute. ``on_open`` is called
    when a bridge of the process opens its layer, in each process anew.
    """

    routing: tuple[Entry, ...] = ()
    recurring: Sequence[Recurring] = ()
    on_open: Callable[[], object] = lambda: None


_installed: list[AddOn] = []


def install(add_on: AddOn) -> None:
    """Add it to all bridges, those that are there too; what runs already goes on without it.

    To be called when the site is imported; idempotent.
    """
    if not any(each is add_on for each in _installed):
        _installed.append(add_on)


def installed() -> tuple[AddOn, ...]:
    """Return what was installed so far, in order."""
    return tuple(_installed)


def on_open() -> None:
    """Tell the add-ons that a bridge has opened its layer in this process."""
    for each in installed():
        each.on_open()


class AllRecurring(Sequence[Recurring]):
    """What a site's bridge repeats, and what the add-ons do, as of when it is looked at."""

    def __init__(self, own: Sequence[Recurring]) -> None:
        self._own = own

    def _all(self) -> list[Recurring]:
        return [*self._own, *(every for each in installed() for every in each.recurring)]

    def __len__(self) -> int:
        return len(self._all())

    @overload
    def __getitem__(self, index: int) -> Recurring: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Recurring]: ...
    def __getitem__(self, index: int | slice) -> Recurring | Sequence[Recurring]:
        return self._all()[index]
