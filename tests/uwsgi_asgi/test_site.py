"""Which site's consumers a mule runs."""

from __future__ import annotations

import pytest

from uwsgi_asgi.options import Options
from uwsgi_asgi.site import find_target, load_site
from wsgi_bridge.processes.target import BadTarget


@pytest.mark.parametrize(
    ("opt", "target"),
    [
        ({"module": b"mysite.wsgi"}, "mysite.wsgi:application"),
        ({"module": b"mysite.wsgi:app"}, "mysite.wsgi:app"),
        ({"wsgi": b"mysite.wsgi", "callable": b"app"}, "mysite.wsgi:app"),
        ({"wsgi-file": b"site/wsgi.py"}, "site/wsgi.py:application"),
        ({"file": b"wsgi.py", "callable": b"app"}, "wsgi.py:app"),
        ({"module": [b"a", b"b"]}, "b:application"),
    ],
)
def test_it_is_the_one_that_uwsgi_serves(opt, target):
    assert find_target(opt) == target


def test_a_uwsgi_that_serves_nothing_by_name_needs_to_be_told():
    with pytest.raises(BadTarget, match="--app"):
        find_target({"mount": b"/=x.py"})


def test_what_the_fragment_says_goes_before():
    bridge = load_site(Options(app="tests.apps.sockets:application"), {"module": b"nowhere"})
    assert "websocket.receive" in bridge.router.channels


def test_what_hands_over_is_for_workers_only():
    bridge = load_site(Options(), {"module": b"tests.apps.handing_site"})
    assert bridge.app.__module__ == "tests.apps.hello"


def test_a_site_may_be_a_file(tmp_path):
    file = tmp_path / "site-file.py"
    file.write_text("from wsgi_bridge import Bridge\napp = Bridge(print, [])\n")
    bridge = load_site(Options(), {"wsgi-file": str(file).encode(), "callable": b"app"})
    assert bridge.app is print


@pytest.mark.parametrize("text", ["1 / 0", "raise SystemExit(3)", "x = 1"])
def test_a_file_that_is_no_site_is_said_to_be_none(tmp_path, text):
    file = tmp_path / "broken.py"
    file.write_text(text)
    with pytest.raises(BadTarget):
        load_site(Options(), {"wsgi-file": str(file).encode()})
