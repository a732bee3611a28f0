"""Variables that were set behind Python's back."""

from __future__ import annotations

import ctypes
import os

import pytest

from uwsgi_asgi.environment import refresh_environment

NAME = "UWSGI_ASGI_TEST"


@pytest.fixture
def libc():
    yield ctypes.CDLL(None)
    os.environ[NAME] = ""
    del os.environ[NAME]


def test_what_was_set_in_c_is_seen(libc):
    libc.setenv(NAME.encode(), "a=ä".encode(), 1)
    assert NAME not in os.environ
    refresh_environment()
    assert os.environ[NAME] == "a=ä"


def test_what_was_changed_there_is_changed(libc):
    os.environ[NAME] = "before"
    libc.setenv(NAME.encode(), b"after", 1)
    refresh_environment()
    assert os.environ[NAME] == "after"


def test_the_rest_stays(libc):
    before = dict(os.environ)
    refresh_environment()
    assert dict(os.environ) == before
