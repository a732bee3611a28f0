"""Names and values: what a layer carries unchanged, and what it refuses at the call."""

from __future__ import annotations

from typing import Any

from wsgi_bridge.exceptions import InvalidMessage, InvalidName, MessageTooLarge
from wsgi_bridge.layers.conformance.support import Case, refused

__all__ = ["ContentTests"]

VALID_CHANNELS = ("a", "http.request", "A-Z_0.9", "body?Kx3", "gunicorn.response.P9!c8", "n" * 99)
INVALID_CHANNELS: tuple[Any, ...] = (
    *("", "n" * 100, "a b", "a/b", "é", "a\n", "a?b?c", "a!b!c", "a?b!c", "?a", "!a"),
    *(b"a", 1, None),
)
INVALID_GROUPS: tuple[Any, ...] = ("", "n" * 100, "a b", "é", "a?b", "a!b", "a!", b"a", None)
INVALID_PATTERNS: tuple[Any, ...] = ("", "a", "a!", "a?b", "a!?", "?", "a??", "é?", b"a?", None)

VALUES: tuple[Any, ...] = (
    *(b"", b"\x00\xff", "", "text", "é€😀\x00", 0, -1, 2**63 - 1, -(2**63), 0.0, -1.5, 1e300),
    *(True, False, None, [], [1, [b"x", "x"]], {}, {"k": {"": [None]}}),
)
REFUSED_VALUES: tuple[Any, ...] = (
    *(2**63, -(2**63) - 1, 1j, object(), {1}, frozenset(), bytearray(b"x"), memoryview(b"x")),
    *({1: "x"}, {b"k": "x"}, [object()], {"k": [{"k": {2}}]}, "\ud800", range(3), iter(())),
)


class ContentTests(Case):
    """MESSAGES.md section 1: names, values, sizes."""

    def test_every_kind_of_channel_name_is_carried(self) -> None:
        """ASCII letters, digits, `.`, `-`, `_`, at most one `?` or `!`; under 100 characters."""
        for name in VALID_CHANNELS:
            reader = name.partition("!")[0] + "!" if "!" in name else name
            self.peer.send(name, {"n": name})
            assert self.layer.receive([reader]) == (name, {"n": name})

    def test_other_channel_names_are_refused(self) -> None:
        """Anything else is InvalidName, also a TypeError."""
        for name in INVALID_CHANNELS:
            with refused(InvalidName, name):
                self.layer.send(name, {})
            with refused(TypeError, name):
                self.layer.receive_many([name])
            with refused(InvalidName, name):
                self.layer.group_add("group", name)
            with refused(InvalidName, name):
                self.layer.group_discard("group", name)
            with refused(InvalidName, name):
                self.layer.listen([name], lambda: None)

    def test_a_receiver_listens_on_the_part_up_to_the_exclamation_mark(self) -> None:
        """The receiver listens on the part up to and including `!`, and nowhere else."""
        with refused(InvalidName, "response!c8"):
            self.layer.receive(["response!c8"])

    def test_one_name_in_place_of_a_list_is_refused(self) -> None:
        """A str would be taken for a list of names of one letter each."""
        with refused(InvalidName, "a"):
            self.layer.receive_many("a")

    def test_other_group_names_are_refused(self) -> None:
        """Group names: the same alphabet without `?` and `!`."""
        for name in INVALID_GROUPS:
            with refused(InvalidName, name):
                self.layer.group_add(name, "channel")
            with refused(InvalidName, name):
                self.layer.group_discard(name, "channel")
            with refused(InvalidName, name):
                self.layer.group_channels(name)
            with refused(InvalidName, name):
                self.layer.send_group(name, {})

    def test_new_channel_makes_unused_single_reader_names(self) -> None:
        """`pattern` ends in `?`; an unused name."""
        names = {self.layer.new_channel("http.request.body?") for _ in range(100)}
        assert len(names) == 100
        for name in names:
            assert name.startswith("http.request.body?")
            self.layer.send(name, {"n": 1})
            assert self.layer.receive([name]) == (name, {"n": 1})

    def test_new_channel_refuses_other_patterns(self) -> None:
        """A pattern with `!` or without either is refused."""
        for pattern in INVALID_PATTERNS:
            with refused(InvalidName, pattern):
                self.layer.new_channel(pattern)

    def test_every_type_of_value_arrives_as_it_was(self) -> None:
        """Bytes and str both survive, distinctly; so do int, float, bool, None, list and dict."""
        for value in VALUES:
            self.peer.send("channel", {"value": value, "list": [value]})
            _, message = self.layer.receive(["channel"])
            expected = {"value": value, "list": [value]}
            assert message == expected, (message, expected)
            assert repr(message) == repr(expected), (message, expected)  # True is not 1

    def test_a_tuple_arrives_as_a_list(self) -> None:
        """A tuple arrives as a list, at any depth."""
        self.peer.send("channel", {"a": (1, (2, b"x")), "headers": [(b"n", b"v")]})
        _, message = self.layer.receive(["channel"])
        assert message == {"a": [1, [2, b"x"]], "headers": [[b"n", b"v"]]}, message

    def test_other_values_are_refused_at_send(self) -> None:
        """Anything else is refused at `send`, by every layer."""
        for value in REFUSED_VALUES:
            with refused(InvalidMessage, value):
                self.layer.send("channel", {"value": value})
            with refused(TypeError, value):
                self.layer.send_group("group", {"list": [value]})
        assert self.drain("channel") == []

    def test_a_message_is_a_dict_with_str_keys(self) -> None:
        """A message is a dict, with str keys."""
        messages: tuple[Any, ...] = ({1: 2}, {b"k": 1}, {None: 1}, [], "text", b"x", None, 1)
        for message in messages:
            with refused(InvalidMessage, message):
                self.layer.send("channel", message)

    def test_a_message_that_contains_itself_is_refused(self) -> None:
        """A cycle is an error at `send`, not an endless loop."""
        message: dict[str, Any] = {"list": []}
        message["list"].append(message)
        with refused(InvalidMessage, "cycle"):
            self.layer.send("channel", message)

    def test_later_changes_by_the_sender_do_not_reach_the_receiver(self) -> None:
        """A sender's later changes to a dict it sent do not reach the receiver."""
        message: dict[str, Any] = {"n": 1, "list": [1, [b"a", b"b"]], "dict": {"k": []}}
        self.peer.send("channel", message)
        message["n"] = 2
        message["list"][1].append(b"c")
        message["list"].append(2)
        message["dict"]["k"].append(1)
        expected = {"n": 1, "list": [1, [b"a", b"b"]], "dict": {"k": []}}
        assert self.layer.receive(["channel"]) == ("channel", expected)

    def test_a_message_of_one_megabyte_is_carried(self) -> None:
        """A message may be at least 1 MB packed."""
        content = bytes(range(256)) * 4096
        self.peer.send("channel", {"content": content, "text": "é" * 1000})
        _, message = self.layer.receive(["channel"])
        assert message == {"content": content, "text": "é" * 1000}

    def test_a_message_past_the_largest_size_is_refused_at_send(self) -> None:
        """Past the layer's `max_message_size` it is MessageTooLarge at `send`."""
        self.reopen(max_message_size=10_000)
        contents: tuple[Any, ...] = (b"x" * 10_001, "x" * 10_001, "é" * 5_001, ["x" * 5_001] * 2)
        for content in contents:
            with refused(MessageTooLarge, type(content)):
                self.layer.send("channel", {"content": content})
            with refused(ValueError, type(content)):
                self.layer.send_group("group", {"content": content})
        self.layer.send("channel", {"content": b"x" * 9_000})
        assert len(self.drain("channel")) == 1
