"""The worker loop of a test client: the real one, which also notes what consumers raise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from greenlet import GreenletExit

from wsgi_bridge.bridge import Bridge
from wsgi_bridge.exceptions import ConsumeLater, DenyConnection, RequestAborted
from wsgi_bridge.routing import Match
from wsgi_bridge.worker import Worker

# What a consumer or an app raises to say something, and no mistake of it.
_SIGNALS = (ConsumeLater, DenyConnection, RequestAborted, GreenletExit)


class WatchedWorker(Worker):
    """A worker that notes in ``failures`` what its consumers and its site let out.

    It does not take the channels in ``hold``.
    """

    def __init__(
        self, bridge: Bridge, *arguments: Any, hold: Sequence[str] = (), **options: Any
    ) -> None:
        self.failures: list[BaseException] = []
        super().__init__(bridge, *arguments, app=self._watch_app(bridge.app), **options)
        self.channels = [channel for channel in self.channels if channel not in hold]
        self.releaser.channels = [name for name in self.releaser.channels if name not in hold]

    def start_services(self, *, is_fed: bool = False) -> None:
        """Do nothing: the engine lets the releaser have its turns, by the test's clock."""

    def _run_consumer(self, match: Match, channel: str, content: dict[str, Any]) -> None:
        watched = replace(match, consumer=self._watch(match.consumer))
        super()._run_consumer(watched, channel, content)

    def _put_off(
        self, match: Match, channel: str, content: dict[str, Any], exc: BaseException
    ) -> bool:
        is_put_off = super()._put_off(match, channel, content, exc)
        if not is_put_off:
            self.failures.append(exc)
        return is_put_off

    def note(self, exc: BaseException) -> None:
        """Note a failure, once however many pass it on."""
        is_known = any(exc is each for each in self.failures)
        if not is_known and not isinstance(exc, _SIGNALS):
            self.failures.append(exc)

    def _watch(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            try:
                return function(*arguments, **options)
            except BaseException as exc:
                self.note(exc)
                raise

        return watched

    def _watch_app(self, app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        run = self._watch(app)

        def watched(environ: Any, start_response: Any) -> Iterable[bytes]:
            iterable: Iterable[bytes] = run(environ, start_response)
            if isinstance(iterable, (list, tuple)):
                return iterable
            return _WatchedIterable(iterable, self.note)

        return watched


class NoSocket:
    """In place of the socket that a site may take for itself: there is none here."""

    is_taken = False

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(
            f"the site takes the socket of a WebSocket for itself ({name}): the test client has "
            "none; test it in a real server"
        )

    def finish(self) -> None:
        """Nothing was taken."""


class _WatchedIterable:
    """An app iterable that tells of what it raises. It has no length: that makes no difference."""

    def __init__(self, iterable: Iterable[bytes], note: Callable[[BaseException], None]) -> None:
        self._iterable = iterable
        self._note = note

    def __iter__(self) -> Iterator[bytes]:
        try:
            self._iterator = iter(self._iterable)
        except BaseException as exc:
            self._note(exc)
            raise
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._iterator)
        except StopIteration:
            raise
        except BaseException as exc:
            self._note(exc)
            raise

    def close(self) -> None:
        if hasattr(self._iterable, "close"):
            try:
                self._iterable.close()
            except BaseException as exc:
                self._note(exc)
                raise
