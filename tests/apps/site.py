"""A site with a page for each thing a WSGI app may do, the forbidden ones too.

State that another request looks at (``/seen``) is in the module: one worker process runs it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import parse_qs

seen = Counter()  # what happened, by name
gates = {}  # name → Event, see /wait and /open


def application(environ, start_response):
    page = PAGES.get(environ["PATH_INFO"].partition(":")[0], not_found)
    return page(environ, start_response)


def reply(start_response, content, status="200 OK", *fields):
    data = content if isinstance(content, bytes) else content.encode()
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(data))), *fields]
    start_response(status, headers)
    return [data]


def options(environ):
    """Return the query's parameters, each with its first value."""
    return {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}


def not_found(environ, start_response):
    return reply(start_response, "no such page\n", "404 Not Found")


# What is said of the request


def hello(environ, start_response):
    return reply(start_response, "Hello, world!\n")


def show_environ(environ, start_response):
    text = {key: value for key, value in environ.items() if isinstance(value, str)}
    return reply(start_response, json.dumps(text))


def show_pid(environ, start_response):
    return reply(start_response, str(os.getpid()))


def show_seen(environ, start_response):
    return reply(start_response, str(seen[options(environ)["name"]]))


# Request bodies


def echo(environ, start_response):
    return reply(start_response, environ["wsgi.input"].read())


def digest(environ, start_response):
    """Read the body in blocks; answer with its size and its SHA-256."""
    size, sha = 0, hashlib.sha256()
    while block := environ["wsgi.input"].read(65536):
        size += len(block)
        sha.update(block)
    return reply(start_response, f"{size} {sha.hexdigest()}")


def count(environ, start_response):
    size = sum(len(block) for block in iter(lambda: environ["wsgi.input"].read(262144), b""))
    return reply(start_response, str(size))


def read_late(environ, start_response):
    """Answer a line, then echo the body."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"first\n"
    yield environ["wsgi.input"].read()


def read_when_open(environ, start_response):
    """Read the body when /open has been asked for."""
    wait(environ)
    return echo(environ, start_response)


def read_and_note(environ, start_response):
    """Read the body and note how that ended."""
    try:
        environ["wsgi.input"].read()
        seen["read"] += 1
    except OSError:
        seen["read failed"] += 1
        raise
    return reply(start_response, "read")


# Responses


def stream(environ, start_response):
    """``count`` chunks of ``size`` bytes, without a Content-Length."""
    asked = options(environ)
    start_response("200 OK", [("Content-Type", "text/plain")])
    block = b"x" * int(asked.get("size", 1))
    return (block for _ in range(int(asked.get("count", 3))))


def lines(environ, start_response):
    """One line, and another when the gate is open: the first must not wait for it."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"one\n"
    wait(environ)
    yield b"two\n"


class endless:  # noqa: N801
    """Blocks until the client goes away; ``close`` is noted."""

    def __init__(self, environ, start_response):
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        self._pause = float(options(environ).get("pause", 0))
        self._block = b"x" * int(options(environ).get("size", 65536))

    def __iter__(self):
        return self

    def __next__(self):
        seen["blocks"] += 1
        time.sleep(self._pause)
        return self._block

    def close(self):
        seen["endless closed"] += 1


def endless_late(environ, start_response):
    wait(environ)
    return endless(environ, start_response)


def one_block(environ, start_response):
    return reply(start_response, b"x" * int(options(environ)["size"]))


def with_status(environ, start_response):
    """``/status:204``: the status after the colon, with content that it may not have."""
    code = environ["PATH_INFO"].partition(":")[2]
    return reply(start_response, "content", f"{code} Whatever")


def promise(environ, start_response):
    """``length`` bytes promised, ``size`` sent, in ``count`` blocks."""
    asked = options(environ)
    start_response("200 OK", [("Content-Length", asked["length"])])
    size, number = int(asked["size"]), int(asked.get("count", 1))
    return iter([b"x" * (size // number)] * number)


def give_fields(environ, start_response):
    """The fields of the JSON body."""
    fields = json.loads(environ["wsgi.input"].read())
    start_response("200 OK", [(name, value) for name, value in fields])
    return [b"content"]


# Failures


def fail(environ, start_response):
    raise RuntimeError("this page fails before its first byte")


def fail_later(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"begun"
    raise RuntimeError("this page fails after its first byte")


def exit_process(environ, start_response):
    sys.exit("this page exits")


# Waiting


def wait(environ):
    """Wait until the request's gate is opened; count who waits."""
    name = options(environ).get("gate", "")
    seen["waiting " + name] += 1
    gates.setdefault(name, threading.Event()).wait(30)


def wait_page(environ, start_response):
    wait(environ)
    return reply(start_response, "the gate is open")


def open_gate(environ, start_response):
    gates.setdefault(options(environ).get("gate", ""), threading.Event()).set()
    return reply(start_response, "opened")


def wait_for_file(environ, start_response):
    """Wait until the file GATE_FILE is there: a gate for a server that accepts no more."""
    note("waiting")
    while not Path(os.environ["GATE_FILE"]).exists():
        time.sleep(0.005)
    return reply(start_response, f"pid {os.getpid()}")


def note(text):
    """Say in the log what a test waits for."""
    with contextlib.suppress(BrokenPipeError):
        print("site:", text, file=sys.stderr, flush=True)


def sleep(environ, start_response):
    time.sleep(float(options(environ)["seconds"]))
    return reply(start_response, "slept")


def compute(environ, start_response):
    """Let nobody else have the thread, nor the hub, for some time."""
    end = time.perf_counter() + float(options(environ)["seconds"])
    while time.perf_counter() < end:
        pass
    return reply(start_response, "computed")


PAGES = {
    "/": hello,
    "/block": one_block,
    "/compute": compute,
    "/count": count,
    "/digest": digest,
    "/echo": echo,
    "/endless": endless,
    "/endless-late": endless_late,
    "/environ": show_environ,
    "/exit": exit_process,
    "/fail": fail,
    "/fail-later": fail_later,
    "/fields": give_fields,
    "/lines": lines,
    "/open": open_gate,
    "/pid": show_pid,
    "/promise": promise,
    "/read-and-note": read_and_note,
    "/read-late": read_late,
    "/read-when-open": read_when_open,
    "/seen": show_seen,
    "/sleep": sleep,
    "/status": with_status,
    "/stream": stream,
    "/wait": wait_page,
    "/wait-for-file": wait_for_file,
}
