"""What a client reads of a connection: the answers to its requests, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import h11


def read_answers(methods: Sequence[str], data: bytes) -> tuple[list[int], bytes]:
    """Return the statuses of all answers on a connection that has ended, and what follows a 101.

    `methods` are those of the requests in their order. One more answer may come: a refusal.
    Raises for what is no HTTP.
    """
    statuses = []
    for method in [*methods, "GET"]:
        if not data:
            break
        client = h11.Connection(h11.CLIENT)
        fields = [("Host", "a"), ("Connection", "Upgrade"), ("Upgrade", "websocket")]
        target = "a:1" if method == "CONNECT" else "/"
        # A method of the application's own has no meaning of its own for a response.
        known = method if method in ("HEAD", "CONNECT") else "GET"
        client.send(h11.Request(method=known, target=target, headers=fields))
        client.send(h11.EndOfMessage())
        client.receive_data(data)
        client.receive_data(b"")
        status = _read_one(client)
        statuses.append(status)
        data = client.trailing_data[0]
        if status == 101:
            return statuses, data
    assert not data, data
    return statuses, b""


def _read_one(client: h11.Connection) -> int:
    while type(event := client.next_event()) is h11.InformationalResponse:
        if event.status_code == 101:
            return 101
    assert type(event) is h11.Response, event
    while type(end := client.next_event()) is h11.Data:
        pass
    assert type(end) is h11.EndOfMessage, end
    return int(event.status_code)
