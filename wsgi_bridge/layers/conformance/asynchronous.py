"""The asyncio extension: the same calls, for a coroutine."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from wsgi_bridge.exceptions import ChannelFull, InvalidName
from wsgi_bridge.layers.base import BaseLayer
from wsgi_bridge.layers.conformance.support import Case, Task, refused

__all__ = ["AsyncioTests"]


class AsyncioTests(Case):
    """MESSAGES.md section 1: the asyncio extension, complete."""

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine to its end, in a new event loop."""
        try:
            return asyncio.run(asyncio.wait_for(coroutine, self.patience))
        except asyncio.TimeoutError as exc:
            raise AssertionError(f"not done after {self.patience} s") from exc

    def test_a_coroutine_sends_and_receives(self) -> None:
        """`send_async`, `receive_async`; to and from callers that are not asynchronous, too."""

        async def exchange() -> list[Any]:
            await self.peer.send_async("a", {"n": 1})
            self.peer.send("a", {"n": 2})
            received = [await self.layer.receive_async(["a", "b"]) for _ in range(2)]
            await self.peer.send_async("a", {"n": 3})
            return received

        assert self.run(exchange()) == [("a", {"n": 1}), ("a", {"n": 2})]
        assert self.drain("a") == [("a", {"n": 3})]

    def test_a_coroutine_waits_for_a_message_of_the_same_loop(self) -> None:
        """A waiting coroutine leaves the loop to others."""

        async def exchange() -> Any:
            waiting = asyncio.ensure_future(self.layer.receive_async(["p!"]))
            await asyncio.sleep(0)
            await self.peer.send_async("p!x", {"n": 1})
            return await waiting

        assert self.run(exchange()) == ("p!x", {"n": 1})

    def test_a_coroutine_is_woken_by_a_thread(self) -> None:
        """The message may come from any thread."""

        async def wait() -> Any:
            sending.append(Task(_send_later, self.peer))
            return await self.layer.receive_async(["a"])

        sending: list[Task] = []
        for _ in range(5):
            assert self.run(wait()) == ("a", {"n": 1})
            sending.pop().result(self.patience)

    def test_an_asynchronous_receive_ends_after_its_timeout(self) -> None:
        """`timeout` seconds at most."""
        assert self.run(self.layer.receive_async(["a"], timeout=0.01)) == (None, None)
        assert self.run(self.layer.receive_many_async(["a"], 5, timeout=0.01)) == []

    def test_a_coroutine_receives_batches(self) -> None:
        """`receive_many_async`: as `receive_many`, compact too."""
        self.peer.group_add("group", "p!x")
        self.peer.send_group("group", {})
        for _ in range(3):
            self.peer.send("a", {})
        assert len(self.run(self.layer.receive_many_async(["a"], 2))) == 2
        compact = self.layer.receive_many_async(["p!"], 2, compact=True)
        assert self.run(compact) == [(("p!x",), {})]

    def test_a_cancelled_receive_loses_no_message(self) -> None:
        """Nothing is taken for a coroutine that was cancelled while it waited."""

        async def cancel() -> None:
            waiting = asyncio.ensure_future(self.layer.receive_async(["a"]))
            for _ in range(10):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

        self.run(cancel())
        self.peer.send("a", {"n": 1})
        assert self.drain("a") == [("a", {"n": 1})]

    def test_a_coroutine_uses_groups(self) -> None:
        """`group_add_async`, `group_discard_async`, `send_group_async`."""

        async def exchange() -> None:
            for name in ("a", "b"):
                await self.peer.group_add_async("group", name)
            await self.peer.group_discard_async("group", "b")
            await self.peer.send_group_async("group", {"n": 1})

        self.run(exchange())
        assert self.drain("a", "b") == [("a", {"n": 1})]

    def test_errors_reach_the_coroutine(self) -> None:
        """The asynchronous calls raise as the others."""
        self.reopen(capacity=1)
        self.layer.send("a", {})
        with refused(ChannelFull, "a"):
            self.run(self.layer.send_async("a", {}))
        with refused(InvalidName, "a b"):
            self.run(self.layer.receive_async(["a b"]))
        with refused(InvalidName, "a!b"):
            self.run(self.layer.group_add_async("a!b", "a"))


def _send_later(layer: BaseLayer) -> None:
    time.sleep(0.005)  # by now the coroutine waits; if it does not, the test is easier
    layer.send("a", {"n": 1})
