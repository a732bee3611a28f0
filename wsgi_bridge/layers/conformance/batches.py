"""Several messages sent in one operation."""

from __future__ import annotations

from typing import Any

from wsgi_bridge.exceptions import ChannelFull, InvalidMessage, InvalidName, MessageTooLarge
from wsgi_bridge.layers.conformance.support import Case, refused

__all__ = ["BatchTests"]


class BatchTests(Case):
    """MESSAGES.md section 1: `send_many`."""

    def test_several_messages_are_sent_at_once(self) -> None:
        """`send_many` puts each on its channel, in this order."""
        names = ["a", "b?c", "p!x", "a", "p!y", "a"]
        messages = [(name, {"n": number}) for number, name in enumerate(names)]
        assert self.peer.send_many(messages) == [None] * len(names)
        assert self.peer.send_many([]) == []
        for reader, expected in (("a", (0, 3, 5)), ("b?c", (1,)), ("p!", (2, 4))):
            assert self.drain(reader) == [messages[number] for number in expected]

    def test_one_that_is_refused_does_not_stop_those_sent_with_it(self) -> None:
        """`send_many` returns for each None, or what `send` would have raised."""
        self.reopen(capacity=2)
        messages = [(name, {"n": number}) for number, name in enumerate("aaabb")]
        refusals = self.peer.send_many(messages)
        assert [type(refusal) for refusal in refusals] == [
            *(type(None), type(None), ChannelFull, type(None), type(None))
        ]
        assert [message["n"] for _, message in self.drain("a")] == [0, 1]
        assert [message["n"] for _, message in self.drain("b")] == [3, 4]
        assert self.layer.channel_statistics("a")["channel_full_count"] == 1

    def test_what_cannot_be_sent_stops_all_that_is_sent_with_it(self) -> None:
        """`send_many` raises before anything is sent."""
        self.reopen(max_message_size=1000)
        wrong: list[tuple[type[Exception], str, dict[str, Any]]] = [
            (InvalidName, "a/b", {}),
            (InvalidMessage, "a", {"key": object()}),
            (MessageTooLarge, "a", {"key": b"x" * 1001}),
        ]
        for error, name, message in wrong:
            with refused(error, name):
                self.peer.send_many([("a", {"n": 1}), (name, message)])
        assert self.drain("a") == []

    def test_messages_sent_at_once_are_copies(self) -> None:
        """A sender's later changes to a dict it sent do not reach the receiver."""
        message = {"inner": [1]}
        self.peer.send_many([("a", message), ("a", message)])
        message["inner"].append(2)
        assert self.drain("a") == [("a", {"inner": [1]})] * 2
