"""All visitors at once: tasks of one asyncio loop, in a thread of its own."""

from __future__ import annotations

import asyncio
import random
import threading
import time

from tests.soak import hostile, pages, sockets
from tests.soak.ledger import LATE, Ledger
from tests.soak.visitor import Kind, Visitor

__all__ = ["KINDS", "Traffic"]

KINDS = (*pages.KINDS, *sockets.KINDS, *hostile.KINDS)


#: Seconds that visits which have begun may take in the end. What goes on then is cut, uncounted,
#: unless it is the first visit of its kind.
LAST_SECONDS = 5.0


#: Seconds by which all visitors may be held up without anybody's noticing; how often that is seen.
LATE_BY, LOOK_EVERY = 0.2, 0.05


class Traffic:
    """A context manager: visitors come as long as it is open; at its end they finish."""

    def __init__(self, port: int, ledger: Ledger, *, scale: float = 1.0, seed: int = 0) -> None:
        self.ledger = ledger
        #: What went wrong with the soak itself.
        self.mistakes: list[BaseException] = []
        self._port = port
        self._scale = scale
        self._seed = seed
        self._ending = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="visitors")

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()
        self._loop.close()

    @property
    def is_running(self) -> bool:
        """Whether the visitors still come."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._visit_all())
        except BaseException as exc:  # noqa: BLE001 - of a thread, to be raised by who looks
            self.mistakes.append(exc)

    async def _visit_all(self) -> None:
        coming = {
            asyncio.ensure_future(self._come(kind, self._chance(kind, n))): kind
            for kind in KINDS
            for n in range(max(1, round(kind.visitors * self._scale)))
        }
        ended = asyncio.ensure_future(self._ending.wait())
        watching = asyncio.ensure_future(self._watch_lateness())
        done, _ = await asyncio.wait([ended, *coming], return_when=asyncio.FIRST_COMPLETED)
        for visitor in done - {ended}:
            visitor.result()  # none ends before it is told, unless by a mistake
        _, late = await asyncio.wait(coming, timeout=LAST_SECONDS)
        watching.cancel()
        for visitor in late:
            if self.ledger.has_ended(coming[visitor].name):
                visitor.cancel()
        for result in await asyncio.gather(*coming, return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result

    async def _watch_lateness(self) -> None:
        """Note when this loop itself was held up: what servers do then is not their fault."""
        while True:
            due = time.monotonic() + LOOK_EVERY
            await asyncio.sleep(LOOK_EVERY)
            if time.monotonic() - due > LATE_BY:
                self.ledger.mark(LATE)

    def _chance(self, kind: Kind, number: int) -> random.Random:
        return random.Random(f"{self._seed} {kind.name} {number}")

    async def _come(self, kind: Kind, chance: random.Random) -> None:
        """Come again and again, until told to end."""
        await self._pause(chance.random() * kind.pause)
        while not self._ending.is_set():
            visitor = Visitor(self._port, self.ledger, chance, kind.name)
            try:
                await asyncio.wait_for(kind.visit(visitor), kind.patience)
            except Exception as exc:  # noqa: BLE001 - whatever it is, it is in the account
                visitor.report(exc)
            else:
                self.ledger.visits[kind.name] += 1
            await self._pause(chance.random() * 2 * kind.pause)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._ending.wait(), seconds)
        except asyncio.TimeoutError:
            return
