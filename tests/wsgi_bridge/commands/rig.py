"""Runs the command as a user does, in a process of its own or as a call, and a site beside it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

from wsgi_bridge.commands import main

ROOT = Path(__file__).parents[3]
COMMAND = (sys.executable, "-m", "wsgi_bridge")

#: Seconds that anything may take on a busy machine.
PATIENCE = 30


def environ(**more):
    """Return an environment in which no layer is named, and text is as wide as told."""
    kept = {name: value for name, value in os.environ.items() if name != "CHANNEL_LAYER"}
    return {**kept, "COLUMNS": "100", **more}


def run(*words, stdin=subprocess.DEVNULL, command=COMMAND, **env):
    """Return how `wsgi-bridge WORDS` ended, with what it printed."""
    return subprocess.run(
        [*command, *words],
        cwd=ROOT,
        env=environ(**env),
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def call(*words, **env):
    """Return what a command printed that ended well. In this process: it is tried many times."""
    shown, errors = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, environ(**env), clear=True),
        contextlib.redirect_stdout(shown),
        contextlib.redirect_stderr(errors),
    ):
        status = main(words)
    assert (status, errors.getvalue()) == (0, "")
    return shown.getvalue()


def call_json(*words, **env):
    """Return what was printed as JSON."""
    return json.loads(call(*words, "--json", **env))


def call_rows(*words, **env):
    """Return the rows of a plain table, as lists of words; the header first."""
    return [line.split() for line in call(*words, **env).splitlines()]


def run_on_terminal(*words, typed="", command=COMMAND, **env):
    """Return the exit status and all that was shown on a terminal."""
    ours, theirs = pty.openpty()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, ours)
        process = subprocess.Popen(
            [*command, *words],
            cwd=ROOT,
            env=environ(TERM="xterm", **env),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        if typed:
            os.write(ours, typed.encode())
        shown = b""
        while data := read_terminal(ours):
            shown += data
        return process.wait(PATIENCE), shown.decode()


def read_terminal(descriptor):
    """Wait for what is shown; b"" when the last process has hung up."""
    select.select([descriptor], [], [])  # which a gevent hub does not stop for
    try:
        return os.read(descriptor, 4096)
    except OSError:  # EIO, where others have an end of file
        return b""


@contextlib.contextmanager
def run_site(url):
    """Run site.py while the block runs; yield a function that ends it: what it still had."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.wsgi_bridge.commands.site", url],
        cwd=ROOT,
        env=environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        yield lambda: json.loads(process.communicate(timeout=PATIENCE)[0])
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


class Terminal:
    """The screen of a command that goes on until it is told to stop."""

    def __init__(self, process, descriptor):
        self.process = process
        self.descriptor = descriptor
        self.text = ""

    def wait_for(self, word, count):
        while self.text.count(word) < count:
            data = read_terminal(self.descriptor)
            assert data, f"it has ended:\n{self.text}"
            self.text += data.decode(errors="replace")

    def interrupt(self):
        """Send what Ctrl-C sends; return the exit status."""
        self.process.send_signal(signal.SIGINT)
        while read_terminal(self.descriptor):
            pass
        return self.process.wait(PATIENCE)


@contextlib.contextmanager
def watching(*words, command=COMMAND, **env):
    """Run a command that goes on, on a terminal, while the block runs."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*command, *words],
        cwd=ROOT,
        env=environ(TERM="xterm", **env),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
