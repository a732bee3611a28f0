"""The asyncio extension: the same calls, for a coroutine."""

from __future__ import annotations

import asyncio
import threading
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

    def test_a_message_that_comes_with_the_timeout_is_received(self) -> None:
        """A receive that ends looks once more: what waits is not left behind."""

        async def receive() -> Any:
            loop = asyncio.get_running_loop()
            clock = loop.time
            timeout = self.patience / 2
            waiting = asyncio.ensure_future(self.layer.receive_async(["a"], timeout))
            with self.layer.listen(["a"], came.set):
                for _ in range(10):
                    await asyncio.sleep(0)
                self.peer.send("a", {"n": 1})
                assert came.wait(self.patience)
                # The loop has stood still since before the send, and finds that the time has ended.
                loop.time = lambda: clock() + timeout  # type: ignore[method-assign]
                return await waiting

        came = threading.Event()
        assert self.run(receive()) == ("a", {"n": 1})

    def test_many_waiting_coroutines_take_no_thread(self) -> None:
        """Threads for what blocks are few, and a program has work of its own for them."""

        async def exchange() -> list[Any]:
            waiting = [asyncio.ensure_future(self.layer.receive_async([name])) for name in names]
            for _ in range(10):
                await asyncio.sleep(0)
            await asyncio.to_thread(time.time)
            for name in names:
                await self.peer.send_async(name, {"to": name})
            return list(await asyncio.gather(*waiting))

        names = [f"a{number}" for number in range(100)]
        assert self.run(exchange()) == [(name, {"to": name}) for name in names]

    def test_one_message_ends_one_of_many_receives(self) -> None:
        """Coroutines that wait for the same channel get a message each, and none twice."""

        async def exchange() -> list[Any]:
            receives = [self.layer.receive_async(["a"]) for _ in range(20)]
            waiting = [asyncio.ensure_future(each) for each in receives]
            for number in range(20):
                await self.peer.send_async("a", {"n": number})
            return list(await asyncio.gather(*waiting))

        received = self.run(exchange())
        assert sorted(message["n"] for _, message in received) == list(range(20))

    def test_who_never_has_to_wait_lets_others_run(self) -> None:
        """A loop that sends, or receives what is there, does not keep the others from running."""

        async def count_turns() -> None:
            while True:
                turns.append(None)
                await asyncio.sleep(0)

        async def exchange() -> None:
            other = asyncio.ensure_future(count_turns())
            for _ in range(10):
                await self.peer.send_async("a", {})
            for _ in range(10):
                await self.layer.receive_async(["a"])
            for _ in range(10):
                await self.peer.send_group_async("group", {})
            other.cancel()

        turns: list[None] = []
        self.run(exchange())
        assert len(turns) >= 30

    def test_a_message_that_comes_as_a_receive_is_cancelled_is_left_to_others(self) -> None:
        """What was to be had a moment ago still is, in another process too."""

        async def cancel() -> Any:
            waiting = asyncio.ensure_future(self.layer.receive_async(["a"]))
            with self.layer.listen(["a"], came.set):
                for _ in range(10):
                    await asyncio.sleep(0)
                self.peer.send("a", {"n": 1})
                assert came.wait(self.patience)
                waiting.cancel()
                return await asyncio.gather(waiting, return_exceptions=True)

        came = threading.Event()
        [outcome] = self.run(cancel())
        assert isinstance(outcome, asyncio.CancelledError)
        assert self.peer.receive(["a"], True, self.patience) == ("a", {"n": 1})

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
