"""A site whose work is decorated; what is done is written to the file LEDGER, a line each."""

from __future__ import annotations

import os
import time
from urllib.parse import parse_qsl

from uwsgi_asgi.decorators import (
    SPOOL_OK,
    SPOOL_RETRY,
    cron,
    lock,
    mulefunc,
    muleloop,
    postfork,
    send_signal,
    set_spooler_frequency,
    signal,
    spool,
    spoolraw,
    timer,
)
from wsgi_bridge import Bridge

LEDGER = os.environ["LEDGER"]
set_spooler_frequency(float(os.environ.get("FREQUENCY", "0.5")))


def note(*words):
    """Write one line, in one piece."""
    line = " ".join(map(str, [*words, os.getpid()])) + "\n"
    file = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, line.encode())
    os.close(file)


@postfork
def opened():
    note("postfork")


@spool
def once(arguments):
    note("once", arguments["n"])


@spoolraw
def third_time(arguments):
    note("third_time", arguments["n"])
    with open(LEDGER) as ledger:
        tries = [line for line in ledger if line.startswith(f"third_time {arguments['n']} ")]
    return SPOOL_OK if len(tries) == 3 else SPOOL_RETRY


@spool
def until_there(arguments):
    note("begun", arguments["n"])
    while not os.path.exists(arguments["file"]):
        time.sleep(0.005)
    note("ended", arguments["n"])


@mulefunc
def beside(*args, **kwargs):
    note("beside", args, kwargs)


@signal(17)
def on_signal(number):
    note("signal", number)


def send():
    """Send the signal as a site on uWSGI would, if this is one."""
    try:
        import uwsgi
    except ImportError:
        send_signal(17)
    else:
        uwsgi.signal(17)


@lock
def add_one(path):
    with open(path) as file:
        number = int(file.read())
    time.sleep(0.001)
    with open(path, "w") as file:
        file.write(str(number + 1))


@spool(pass_arguments=True)
def count(path):
    for _ in range(5):
        add_one(path)
    note("counted")


if "TIMER" in os.environ:

    @timer(float(os.environ["TIMER"]))
    def tick(number):
        note("tick", time.time())


if "CRON" in os.environ:

    @cron(-1, -1, -1, -1, -1)
    def minute(number):
        note("minute", time.time())


if "LOOP" in os.environ:

    @muleloop(1)
    def loop():
        note("loop", time.time())
        time.sleep(0.05)


CALLS = {
    "/once": once,
    "/third": third_time,
    "/until": until_there,
    "/beside": lambda **kwargs: beside(1, **kwargs),
    "/signal": send,
    "/count": lambda file: count(file),
}


def site(environ, start_response):
    CALLS[environ["PATH_INFO"]](**dict(parse_qsl(environ["QUERY_STRING"])))
    start_response("200 OK", [("Content-Length", "0")])
    return [b""]


application = Bridge(site)
