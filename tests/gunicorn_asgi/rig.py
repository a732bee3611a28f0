"""An HTTP server on this thread's hub; the test is its consumers, and moves its clock."""

from __future__ import annotations

from typing import Any

from gunicorn_asgi.connection import HttpConnection
from gunicorn_asgi.policy import RequestPolicy
from gunicorn_asgi.server import ClientSocket, HttpServer
from tests.wsgi_bridge.server.rig import Client, Rig, settle, wait_for
from wsgi_bridge import open_layer

__all__ = ["HttpRig", "get", "post", "settle", "wait_for"]

ADDRESSES = ["192.0.2.7", 40000], ["192.0.2.1", 8000]


class HttpRig(Rig):
    """See ``Rig``. ``exhausted`` counts how often max_requests was reached."""

    def __init__(
        self, *, capacity: int = 1000, keepalive: float = 2, max_requests: int = 10**9,
        max_connections: int = 100, **settings: Any,
    ) -> None:  # fmt: skip
        super().__init__(**settings)
        self.layer.close()
        self.layer = self.server.layer = open_layer(
            "memory://?strict=1", clock=self.clock, capacity=capacity
        )
        self.exhausted = 0
        self.http = HttpServer(
            self.server,
            RequestPolicy(),
            max_connections=max_connections,
            keepalive=keepalive,
            max_requests=max_requests,
            on_exhausted=self._count_exhausted,
        )

    def _count_exhausted(self) -> None:
        self.exhausted += 1

    def accept(self, data: bytes = b"", *, buffer: int = 0) -> Client:
        """Connect a client, which sends ``data``."""
        ours, client = self.pair(buffer=buffer)
        sock = ClientSocket(ours.family, ours.type, 0, ours.detach())
        sock.on_close = self.http.on_closed
        sock.setblocking(False)
        self.counters.connections += 1
        HttpConnection(self.http, sock, *ADDRESSES)
        client.send(data)
        return client

    def request(self) -> dict[str, Any]:
        """Return the next request for a consumer."""
        return self.take("http.request")[1]

    def answer(self, request: dict[str, Any], content: bytes = b"ok", **keys: Any) -> None:
        """Answer a request with a first, or only, message."""
        message = {"status": 200, "headers": [], "content": content, **keys}
        self.layer.send(request["reply_channel"], message)

    def send_on(self, request: dict[str, Any], **message: Any) -> None:
        self.layer.send(request["reply_channel"], message)

    def chunks(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what waits of a request's body."""
        return [chunk for _, chunk in self.layer.receive_many([request["body_channel"]], 1000)]

    def pending(self) -> int:
        """How many messages lie in the layer."""
        return self.layer.global_statistics()["messages_pending"]

    @property
    def is_closed(self) -> bool:
        """Whether no connection is left."""
        return not (self.counters.connections or self.http.connections or self.server.timed)


def get(target: str = "/", *fields: str, version: str = "1.1") -> bytes:
    """Return a request's bytes."""
    return "\r\n".join([f"GET {target} HTTP/{version}", "Host: a", *fields, "", ""]).encode()


def post(body: bytes | int, *fields: str) -> bytes:
    """Return a POST's bytes; ``body`` may be a number of bytes that are yet to come."""
    size = body if isinstance(body, int) else len(body)
    head = "\r\n".join(["POST / HTTP/1.1", f"Content-Length: {size}", *fields, "", ""]).encode()
    return head if isinstance(body, int) else head + body
