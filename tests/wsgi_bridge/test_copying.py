"""The copy that a layer takes at send: conversions, refusals, sizes."""

import enum
import random
from collections import OrderedDict, namedtuple

import pytest

from wsgi_bridge import copying
from wsgi_bridge.copying import MAX_DEPTH, copy_message, copy_trusted
from wsgi_bridge.exceptions import InvalidMessage, MessageTooLarge

LARGE = 2**30


class Text(str):
    __slots__ = ()

    def __str__(self):
        return "something else"


class Data(bytes):
    pass


class Real(float):
    pass


class Color(enum.IntEnum):
    RED = 1


class Word(str, enum.Enum):
    YES = "yes"


Point = namedtuple("Point", "x y")

CONVERTED = [
    (Text("a"), "a"),
    (Word.YES, "yes"),
    (Data(b"a"), b"a"),
    (Color.RED, 1),
    (Real(1.5), 1.5),
    (Point(1, b"y"), [1, b"y"]),
    (OrderedDict(a=(1,)), {"a": [1]}),
    ({Text("k"): 1}, {"k": 1}),
    ([Data(b"n"), b"v"], [b"n", b"v"]),
]


def plain_types(value):
    if isinstance(value, dict):
        return [type(value), *((type(k), plain_types(v)) for k, v in value.items())]
    return [type(value), *map(plain_types, value)] if isinstance(value, list) else type(value)


@pytest.mark.parametrize(("value", "expected"), CONVERTED)
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: {"k": [v, 1]}])
def test_a_subclass_arrives_as_the_plain_type(value, expected, wrap):
    copied = copy_message({"value": wrap(value)}, LARGE)
    assert copied == {"value": wrap(expected)}
    assert plain_types(copied) == plain_types({"value": wrap(expected)})


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ([], "message is of type list"),
        ({1: 2}, "message has the key 1 of type int"),
        ({"a": {b"k": 2}}, "message['a'] has the key b'k' of type bytes"),
        ({"a": object()}, "message['a'] is of type object"),
        ({"a": bytearray()}, "message['a'] is of type bytearray"),
        ({"headers": [[b"a", b"b"], [b"a", {1}]]}, "message['headers'][1][1] is of type set"),
        ({"a": [{"b": (1j,)}]}, "message['a'][0]['b'][0] is of type complex"),
        ({"a": 2**63}, "message['a'] is 9223372036854775808"),
        ({"a": [-(2**63) - 1]}, "message['a'][0] is -9223372036854775809"),
        ({"a": "\ud800"}, "message['a'] cannot be encoded as UTF-8"),
        ({"a": ["\udfff"]}, "message['a'][0] cannot be encoded as UTF-8"),
        ({"\ud800": 1}, "key of message cannot be encoded as UTF-8"),
    ],
)
def test_an_error_names_the_path_and_the_type(message, said):
    with pytest.raises(InvalidMessage) as caught:
        copy_message(message, LARGE)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: (v,), lambda v: {"k": v}])
def test_the_deepest_message_is_carried_and_one_deeper_refused(wrap):
    value = 1
    for _ in range(MAX_DEPTH - 1):
        value = wrap(value)
    copy_message({"value": value}, LARGE)
    with pytest.raises(InvalidMessage, match="nested more than 64 deep"):
        copy_message({"value": wrap(value)}, LARGE)


def test_a_pair_of_bytes_counts_as_deep_as_any_list():
    value = [b"n", b"v"]
    for _ in range(MAX_DEPTH - 2):
        value = [value]
    copy_message({"value": value}, LARGE)
    with pytest.raises(InvalidMessage):
        copy_message({"value": [value]}, LARGE)


def test_a_container_of_the_sender_is_never_in_the_copy():
    message = {"l": [[b"a", b"b"], [1, 2], []], "d": {"k": {"l": []}}, "t": ([],)}
    for copied in (copy_message(message, LARGE), copy_trusted(copy_message(message, LARGE))):
        assert not containers(message) & containers(copied)


def containers(value):
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list, tuple)):
        return set()
    return {id(value)}.union(*(containers(item) for item in inner))


def test_both_walks_agree_on_copy_and_size():
    source = random.Random(1)
    for _ in range(2000):
        message = {random_key(source): random_value(source, 3) for _ in range(source.randrange(6))}
        plain = copying._copy_plain_dict(message, 1)
        thorough = copying._copy_dict(message, "message", 1)
        assert plain[0] == thorough[0]
        assert plain_types(plain[0]) == plain_types(thorough[0])
        # A key that is known to the plain walk has a size of its own.
        known = sum(len(key) for key in every_key(message) if key in copying._KNOWN_KEYS)
        assert plain[1] == thorough[1] - known


def test_a_size_is_never_under_the_packed_one():
    msgpack = pytest.importorskip("msgpack")
    source = random.Random(2)
    for _ in range(2000):
        message = {random_key(source): random_value(source, 3) for _ in range(source.randrange(20))}
        packed = len(msgpack.packb(message))
        assert packed <= copying._copy_plain_dict(message, 1)[1] <= 3 * packed + 5000


def random_key(source):
    return source.choice([*sorted(copying._KNOWN_KEYS), "é", "application", "k" * 40, ""])


def random_value(source, depth):
    kind = source.randrange(9 if depth else 6)
    if kind < 6:
        size = source.choice([0, 1, 40, 300])
        number = source.randrange(-(2**63), 2**63) >> source.randrange(63)
        return ["x" * size, b"x" * size, number, source.random(), None, "é€" * size][kind]
    if kind == 6:
        return [(b"x" * source.randrange(9), b"y" * 9) for _ in range(source.randrange(5))]
    if kind == 7:
        return [random_value(source, depth - 1) for _ in range(source.randrange(4))]
    return {random_key(source): random_value(source, depth - 1) for _ in range(3)}


def every_key(value):
    if isinstance(value, dict):
        return [*value, *(key for item in value.values() for key in every_key(item))]
    return [key for item in value for key in every_key(item)] if isinstance(value, list) else []


def test_a_message_is_refused_from_one_byte_past_the_largest_size():
    message = {"content": b"x" * 1000}
    size = copying._copy_plain_dict(message, 1)[1]
    assert copy_message(message, size) == message
    with pytest.raises(MessageTooLarge, match=f"{size} bytes: expected at most {size - 1}"):
        copy_message(message, size - 1)


def test_the_known_keys_are_short_enough_for_their_size():
    assert max(map(len, copying._KNOWN_KEYS)) <= copying._KNOWN_KEY_SIZE
