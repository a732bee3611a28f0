"""What crosses a layer in the benchmarks, and the check of what arrived. No I/O."""

from __future__ import annotations

from typing import Any

REQUEST_CHANNEL = "http.request"
GROUP = "bench"
# Room for all that is under way at once: what is compared is speed, not what a full queue loses.
CAPACITY = 1000
# Seconds without an answer after which a message counts as lost, which ends the run.
PATIENCE = 20.0

# What a browser sends for a page of a site behind a proxy, with the cookies of a signed-in visitor.
REQUEST = {
    "http_version": "1.1",
    "method": "GET",
    "scheme": "https",
    "path": "/articles/2017/03/some-title/",
    "raw_path": b"/articles/2017/03/some-title/",
    "root_path": "",
    "query_string": b"page=2&order=newest",
    "headers": [
        [b"host", b"www.example.com"],
        [b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"],
        [b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
        [b"accept-language", b"en-US,en;q=0.5"],
        [b"accept-encoding", b"gzip, deflate, br, zstd"],
        [b"referer", b"https://www.example.com/articles/2017/03/"],
        [b"cookie", b"sessionid=0123456789abcdef0123456789abcdef; csrftoken=" + b"x" * 32],
        [b"upgrade-insecure-requests", b"1"],
        [b"sec-fetch-dest", b"document"],
        [b"sec-fetch-mode", b"navigate"],
        [b"sec-fetch-site", b"same-origin"],
        [b"priority", b"u=0, i"],
        [b"connection", b"keep-alive"],
    ],
    "body": b"",
    "client": ["203.0.113.9", 51234],
    "server": ["192.0.2.1", 443],
}
ANSWER = {
    "status": 200,
    "headers": [[b"content-type", b"text/html; charset=utf-8"], [b"content-length", b"1024"]],
    "content": b"x" * 1024,
    "more_content": False,
}
TEXT = "x" * 100


class WrongMessageError(Exception):
    """What arrived is not what was sent."""


def request(reply_channel: str, number: int) -> dict[str, Any]:
    """Return a request of its own, whose answer is to bear `number`."""
    return {"reply_channel": reply_channel, "number": number, **REQUEST}


def answer_to(message: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the channel and the answer of a request. Raises WrongMessageError."""
    reply_channel, number = message.pop("reply_channel"), message.pop("number")
    if message != REQUEST:
        raise WrongMessageError(f"a request that nobody made: {message!r}")
    return reply_channel, {"number": number, **ANSWER}


def check_answer(message: dict[str, Any], number: int) -> None:
    """Raise WrongMessageError unless this is the answer to request `number`."""
    if message != {"number": number, **ANSWER}:
        raise WrongMessageError(f"expected the answer {number!r}, got {message!r}")


def news(sender: str, number: int) -> dict[str, Any]:
    """Return the message `number` of a sender to the group."""
    return {"sender": sender, "number": number, "text": TEXT}
