"""Whatever is sent to a reply channel, the server delivers it, and the client reads what is valid.

A real server on a socketpair: of the state machines' owners no exception may escape, none of their
connections may be left that nobody ends.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.fuzz.messages import bad_fields, fields, message, wrong
from tests.fuzz.responses import Client, answers
from tests.fuzz.target import Target
from tests.gunicorn_asgi.rig import HttpRig, settle, wait_for

REQUESTS = {
    "GET": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "HEAD": b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nx",
    "PUT": b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
}
asides = st.one_of(
    message({"body_window": st.integers(0, 10**6)}),
    message({"flow_channel": st.just("flow?")}),
    message({"flow_channel": st.just("flow?"), "status": st.just(200), "headers": fields,
             "more_content": st.just(True)}),
    message({"early_hints": fields | bad_fields}),
    st.dictionaries(
        st.sampled_from(["ack", "accept", "text", "bytes", "lost", "close", "order", "x"]), wrong,
        max_size=2,
    ),
)  # fmt: skip
# (request, messages)
inputs = st.tuples(
    st.sampled_from(sorted(REQUESTS)),
    st.builds(lambda before, rest: [*before, *rest], st.lists(asides, max_size=3), answers),
)


def check(value: tuple[str, list[dict[str, Any]]]) -> None:
    """See the module's docstring."""
    method, messages = value
    with HttpRig() as rig, rig.accept(REQUESTS[method]).sock as sock:
        reply_channel = rig.request()["reply_channel"]
        connection = rig.server.connections[reply_channel]
        for each in messages:
            connection.deliver(each)
        is_over = reply_channel not in rig.server.connections
        connection.deliver({"closed": True})
        assert reply_channel not in rig.server.connections
        settle()
        sent, is_ended = read(sock)
        client = Client(method, sent, is_ended)
        assert client.is_complete or is_ended or not is_over
        assert client.connection.trailing_data[0] == b""
        sock.close()
        wait_for(lambda: rig.is_closed, "the end of the connection")
        assert not rig.server._retries


def read(sock: Any) -> tuple[bytes, bool]:
    """Return what has come, and whether that was the end."""
    sock.setblocking(False)
    parts = []
    try:
        while data := sock.recv(65536):
            parts.append(data)
    except BlockingIOError:
        return b"".join(parts), False
    return b"".join(parts), True


TARGET = Target("replies", inputs, check, examples=150)
