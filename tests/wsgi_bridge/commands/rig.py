"""Runs the command as a user does, in a process of its own, and a site beside it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

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


def run_json(*words, **env):
    """Return what was printed as JSON, by a command that ended well."""
    done = run(*words, "--json", **env)
    assert (done.returncode, done.stderr) == (0, ""), done
    return json.loads(done.stdout)


def run_rows(*words, **env):
    """Return the rows of a plain table, as lists of words; the header first."""
    done = run(*words, **env)
    assert (done.returncode, done.stderr) == (0, ""), done
    return [line.split() for line in done.stdout.splitlines()]


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
