"""The layer that the workers of one gunicorn have for themselves."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gunicorn_asgi.layer import find_sibling_url
from wsgi_bridge import open_layer


@pytest.fixture(autouse=True)
def base(tmp_path, monkeypatch):
    """Have the layers of this test apart from those of gunicorns that run beside it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def leave_message(url):
    """Use a layer as a worker does, which ends then."""
    layer = open_layer(url)
    layer.send("jobs", {"text": "kept"})
    layer.close()


def test_what_waits_between_two_generations_of_workers_is_kept():
    url = find_sibling_url(os.getpid(), is_first=True)
    leave_message(url)
    other = find_sibling_url(os.getppid(), is_first=True)
    assert other != url
    layer = open_layer(url)
    assert layer.receive(["jobs"]) == ("jobs", {"text": "kept"})
    layer.close()


def test_what_a_gunicorn_has_left_that_has_gone_is_removed(base):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as master:
        url = find_sibling_url(master.pid, is_first=True)
        leave_message(url)
    [left] = base.rglob("gunicorn-*")
    find_sibling_url(os.getpid(), is_first=True)
    assert not left.exists()


def test_a_process_that_has_the_number_of_a_master_is_none(base):
    leave_message(f"ipc://gunicorn-{os.getpid()}-1")
    [left] = base.rglob("gunicorn-*")
    find_sibling_url(os.getppid(), is_first=True)
    assert not left.exists()
