"""Bytes that others have put where a channel layer keeps its own: none of them stops a receiver.

On ipc what cannot be decoded is dropped and counted, and what came before and after it arrives. Of
the layer on Redis, whose server is another's, all that decodes raises Undecodable and nothing else.
Reports of routes that are none are left out.
"""

from __future__ import annotations

import tempfile
from typing import Any

import msgpack
from hypothesis import strategies as st

from tests.fuzz.damage import damaged
from tests.fuzz.messages import wrong
from tests.fuzz.target import Target
from wsgi_bridge import open_layer
from wsgi_bridge.layers.ipc.records import GROUP, MEMBERS, PLAIN, encode_entry
from wsgi_bridge.layers.ipc.session import Session
from wsgi_bridge.layers.redis.codec import Codec, Undecodable, read_double
from wsgi_bridge.route_reports import load_snapshots, merge

FUTURE = 2.0**40
PIECES = [
    b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xd7\xff",
    b"\x81\x01\x01",
    b"\xc7\x0c\xff", b"\x91" * 600, b"\x81\x91\x01\x01", b"\x00", b"\xc1", b"\xff" * 8, b"m", b"g",
]  # fmt: skip
CODECS = (Codec(), Codec(["secret"]))
packed = st.sampled_from(
    [msgpack.packb(value) for value in ({"a": 1}, {}, 5, [], {"a": [b"b", None]})]
)
entries = st.builds(
    encode_entry,
    st.sampled_from([FUTURE, 0.0, float("nan"), float("inf")]),
    st.sampled_from([PLAIN, GROUP, MEMBERS]),
    st.sampled_from(["", "a", "g"]),
    packed,
)
sealed = st.sampled_from(
    [
        CODECS[0].encode(FUTURE, "a", {"b": 1}),
        CODECS[1].encode(FUTURE, "a", {"b": 1}),
        CODECS[0].head(b"g", FUTURE) + bytes(8) + CODECS[0].seal("g", {}),
        CODECS[0].seal("a", "b", "c", 1.0),
        CODECS[0].seal({"a": 1}),
        CODECS[0].seal("a", {}),
    ]
)
routes = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(
            ("count", "errors", "timeouts", "retries", "in_flight"), st.just(1) | wrong
        ),
        "times": st.just([[1, 2]]) | st.lists(st.lists(st.integers(-5, 5000) | wrong, max_size=3)),
        "channels": st.just(["a"]) | st.lists(wrong),
    },
)
reports = st.dictionaries(
    st.sampled_from(["routes", "x"]), st.dictionaries(st.text(max_size=2), routes | wrong) | wrong
)
inputs = st.one_of(
    st.tuples(st.just("ipc"), damaged(entries, PIECES)),
    st.tuples(st.just("redis"), damaged(sealed, PIECES)),
    st.tuples(st.just("report"), reports),
)


def check_ipc(data: bytes) -> None:
    """Put bytes between two messages, as the process of another version would."""
    with tempfile.TemporaryDirectory() as folder:
        layer = open_layer(f"ipc://{folder}/layer")
        try:
            layer.send("a", {"n": 1})
            attachment = layer._attach()

            def put(txn: Any) -> None:
                session = Session(txn, layer.clock())
                attachment.queues.put(session, session.record("a"), data)
                session.save()

            attachment.write(put)
            layer.send("a", {"n": 2})
            taken = [message for _ in range(4) for _, message in layer.receive_many(["a"], 9)]
            assert [each for each in taken if each in ({"n": 1}, {"n": 2})] == [{"n": 1}, {"n": 2}]
            assert all(type(each) is dict for each in taken)
            figures = layer.channel_statistics("a")
            dropped = figures["messages_undecodable_count"] + figures["messages_expired_count"]
            assert figures["messages_pending"] == 0
            assert len(taken) + dropped in (2, 3)
            assert layer.global_statistics()["messages_undecodable_count"] <= 1
        finally:
            layer.close()


def check_redis(data: bytes) -> None:
    """Have all that decodes look at it."""
    for codec in CODECS:
        readers = (
            codec.decode, codec.change, codec.membership, codec.open, read_double,
            lambda data, codec=codec: codec.open_as(data, dict),
            lambda data, codec=codec: codec.open_as(data, str, dict),
        )  # fmt: skip
        for read in readers:
            try:
                read(data)
            except Undecodable:
                pass


def check_report(value: dict[str, Any]) -> None:
    """Put a report beside those of routes."""
    with tempfile.TemporaryDirectory() as folder:
        layer = open_layer(f"ipc://{folder}/layer")
        try:
            layer.storage.save("wsgi-bridge.routes", {"names": ["x", "y"]}, ttl=60)
            layer.storage.save("wsgi-bridge.routes.x", value, ttl=60)
            for figures in merge(load_snapshots(layer), layer).values():
                assert figures["processes"] == 1
        finally:
            layer.close()


CHECKS = {"ipc": check_ipc, "redis": check_redis, "report": check_report}


def check(value: tuple[str, Any]) -> None:
    """See the module's docstring."""
    kind, data = value
    CHECKS[kind](data)


TARGET = Target("stored", inputs, check, examples=200)
