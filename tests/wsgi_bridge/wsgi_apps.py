"""Small WSGI apps, and the messages that they are answered with, for the tests of the bridge."""

from __future__ import annotations

TEXT = ("Content-Type", "text/plain")
TEXT_BYTES = [b"Content-Type", b"text/plain"]


def sized(size):
    return ("Content-Length", str(size))


def sized_bytes(size):
    return [b"Content-Length", b"%d" % size]


def head(content, more=False, status=200, headers=(TEXT_BYTES,)):
    return {
        "status": status,
        "headers": [list(pair) for pair in headers],
        "content": content,
        "more_content": more,
    }


def rest(content, more=False):
    return {"content": content, "more_content": more}


BROKEN = {"closed": True}


def returns(iterable, *headers, status="200 OK"):
    def app(environ, start_response):
        start_response(status, list(headers) or [TEXT])
        return iterable

    return app


class Closing:
    """An app iterable that counts the calls of its close()."""

    def __init__(self, *blocks, error=None):
        self.blocks = iter(blocks)
        self.error = error
        self.closes = 0
        self.taken = 0

    def __iter__(self):
        return self

    def __next__(self):
        block = next(self.blocks)
        self.taken += 1
        if isinstance(block, BaseException):
            raise block
        return block

    def close(self):
        self.closes += 1
        if self.error:
            raise self.error


def writes(*blocks, then=(), headers=(TEXT,)):
    def app(environ, start_response):
        write = start_response("200 OK", list(headers))
        for block in blocks:
            write(block)
        return list(then)

    return app


def raises(error):
    def app(environ, start_response):
        raise error

    return app


def stops(environ, start_response):
    raise StopIteration


def stops_in_a_generator(environ, start_response):
    raise StopIteration
    yield b""


HIJACKS = {
    "raises StopIteration": stops,
    "raises StopIteration in a generator": stops_in_a_generator,
    "raises anything": raises(OSError("socket closed")),
    "exits": raises(SystemExit()),
    "returns an empty list": returns([]),
    "returns content": returns([b"x"]),
    "returns a stream": returns(iter([b"x"])),
    "never starts": lambda environ, start_response: [],
    "writes": writes(b"x"),
}
