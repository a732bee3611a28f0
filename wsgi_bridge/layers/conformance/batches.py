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

    def test_messages_are_put_and_others_taken_in_one_operation(self) -> None:
        """`exchange` does as `hand_over_many`, and then takes what is there."""
        for number in range(3):
            self.peer.send("b", {"n": number})
        refused, batch = self.layer.exchange([("p!x", {"n": 0}), ("p!y", {"n": 1})], ["b", "c"], 2)
        assert list(refused) == [None, None]
        assert batch == [("b", {"n": 0}), ("b", {"n": 1})]
        assert self.layer.exchange([], ["b", "c"], 2) == ([], [("b", {"n": 2})])
        refused, batch = self.layer.exchange([("p!x", {"n": 2})], ["b", "c"], 2)
        assert (list(refused), batch) == ([None], [])
        assert [message["n"] for _, message in self.drain("p!")] == [0, 1, 2]

    def test_what_is_refused_in_an_exchange_is_told_and_the_rest_is_done(self) -> None:
        """`exchange` returns for each message None, or what `send` would have raised."""
        self.reopen(capacity=1)
        self.peer.send("b", {})
        sends = [("p!x", {"n": 1}), ("p!y", {"n": 2}), ("q!z", {"n": 3})]
        refused, batch = self.layer.exchange(sends, ["b"], 5)
        assert [type(each) for each in refused] == [type(None), ChannelFull, type(None)]
        assert batch == [("b", {})]
        assert [message["n"] for _, message in self.drain("p!") + self.drain("q!")] == [1, 3]

    def test_messages_sent_at_once_are_copies(self) -> None:
        """A sender's later changes to a dict it sent do not reach the receiver."""
        message = {"inner": [1]}
        self.peer.send_many([("a", message), ("a", message)])
        message["inner"].append(2)
        assert self.drain("a") == [("a", {"inner": [1]})] * 2
