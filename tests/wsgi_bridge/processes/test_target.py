"""From `module:attribute` to a Bridge, and which channels are received."""

from __future__ import annotations

import pytest

from wsgi_bridge import Bridge
from wsgi_bridge.processes.target import BadTarget, choose_channels, load_target, split_target

CHANNELS = ["http.request", "jobs", "thumbnails", "websocket.connect"]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("site", ("site", "application")),
        ("my.site", ("my.site", "application")),
        ("my.site:app", ("my.site", "app")),
        ("my.site:pages.app", ("my.site", "pages.app")),
    ],
)
def test_a_target_names_a_module_and_an_attribute(target, expected):
    assert split_target(target) == expected


@pytest.mark.parametrize("target", ["", ":", ":app", "my-site", "a:b c", "a/b", "a:b()"])
def test_what_is_no_target_is_refused(target):
    with pytest.raises(BadTarget, match="expected module:attribute") as caught:
        split_target(target)
    assert caught.value.is_misuse


def test_a_bridge_is_taken_as_it_is():
    bridge = load_target("tests.apps.jobs:application")
    assert isinstance(bridge, Bridge)
    assert "jobs" in bridge.router.channels


def test_a_wsgi_callable_is_wrapped():
    assert load_target("tests.apps.jobs:plain").app.__name__ == "site"


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("nowhere", "there is no module 'nowhere' here"),
        ("tests.nowhere.at_all", "there is no module 'tests.nowhere' here"),
        ("tests.apps.jobs:nothing.there", "tests.apps.jobs has no 'nothing.there'"),
        ("tests.apps.jobs:kept", "tests.apps.jobs:kept is list, neither a Bridge nor"),
    ],
)
def test_what_cannot_be_loaded_is_told(target, text):
    with pytest.raises(BadTarget, match=text) as caught:
        load_target(target)
    assert not caught.value.is_misuse


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("1 / 0", "could not be imported: ZeroDivisionError"),
        ("this is no python", "could not be imported: SyntaxError"),
        ("raise SystemExit(3)", "could not be imported: SystemExit: 3"),
        ("import nothing_like_it", "could not be imported: ModuleNotFoundError"),
    ],
)
def test_a_site_that_fails_has_its_traceback_logged(code, text, tmp_path, monkeypatch, caplog):
    (tmp_path / "failing_site.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BadTarget, match=text):
        load_target("failing_site")
    assert "failing_site.py" in caplog.text


@pytest.mark.parametrize(
    ("only", "exclude", "expected"),
    [
        ([], [], CHANNELS),
        (["jobs"], [], ["jobs"]),
        (["http.*", "websocket.*"], [], ["http.request", "websocket.connect"]),
        ([], ["thumb*"], ["http.request", "jobs", "websocket.connect"]),
        (["*s"], ["jobs"], ["thumbnails"]),
    ],
)
def test_channels_are_chosen_by_patterns(only, exclude, expected):
    assert choose_channels(reversed(CHANNELS), only, exclude) == expected


@pytest.mark.parametrize(("only", "exclude"), [(["x"], []), ([], ["*"]), (["jobs"], ["j*"])])
def test_to_receive_on_nothing_is_refused(only, exclude):
    with pytest.raises(BadTarget, match="this site has http.request, jobs, ") as caught:
        choose_channels(CHANNELS, only, exclude)
    assert caught.value.is_misuse
