"""Settings: keyword arguments, the environment before them, and values checked by name."""

from __future__ import annotations

from dataclasses import fields

import pytest

from wsgi_bridge.settings import Settings, load_settings


def load(environ=None, **given):
    return load_settings(given, environ=environ or {})


def test_the_defaults_are_valid():
    assert load() == Settings()


def test_every_setting_says_what_it_is():
    assert all(item.metadata["doc"] for item in fields(Settings))


def test_a_value_is_taken_as_given():
    assert load(handshake_timeout=5, slow_client="drop").handshake_timeout == 5
    assert load(slow_client="drop").slow_client == "drop"


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(TypeError, match="unknown setting 'timeout'; known are: allowed_origins"):
        load(timeout=5)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("HTTP_TIMEOUT", "2.5", 2.5),
        ("MAX_MESSAGE_SIZE", "1000", 1000),
        ("COMPRESSION", "false", False),
        ("COMPRESSION", "1", True),
        ("SLOW_CLIENT", "block", "block"),
        ("ALLOWED_ORIGINS", "https://a.example, https://b.example,", ("https://a.example", "https://b.example")),
        ("ALLOWED_ORIGINS", "", ()),
    ],
)  # fmt: skip
def test_the_environment_goes_before_the_argument(name, text, value):
    given = {name.lower(): load().__getattribute__(name.lower())}
    settings = load({"ASGI_" + name: text}, **given)
    found = getattr(settings, name.lower())
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "text"),
    [("HTTP_TIMEOUT", "soon"), ("MAX_MESSAGE_SIZE", "1.5"), ("COMPRESSION", "maybe")],
)
def test_a_bad_value_in_the_environment_is_named(name, text):
    with pytest.raises(ValueError, match=f"ASGI_{name} is '{text}'"):
        load({"ASGI_" + name: text})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("http_timeout", -1),
        ("http_timeout", "3"),
        ("http_timeout", True),
        ("http_timeout", None),
        ("max_message_size", -1),
        ("max_message_size", 1.5),
        ("max_message_size", True),
        ("compression", 1),
        ("slow_client", "wait"),
        ("slow_client", None),
        ("consumers", "elsewhere"),
        ("allowed_origins", ["example.com"]),
        ("allowed_origins", [5]),
    ],
)
def test_a_value_out_of_range_is_named(name, value):
    with pytest.raises(ValueError, match=f"setting {name} takes .*, not "):
        load(**{name: value})


def test_no_consumers_is_none_or_its_name():
    assert load().consumers == "local"
    assert load(consumers=None) == load(consumers="none") == load({"ASGI_CONSUMERS": "none"})
    assert load({"ASGI_CONSUMERS": "local"}, consumers=None).consumers == "local"


@pytest.mark.parametrize("origins", ["*", ["*"], ("https://a.example",), ["http://localhost:3000"]])
def test_origins_may_be_one_or_many(origins):
    settings = load(allowed_origins=origins)
    assert settings.allowed_origins == ((origins,) if isinstance(origins, str) else tuple(origins))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_seconds_are_numbers(value):
    if value == value:
        assert load(http_timeout=value).http_timeout == value
    else:
        with pytest.raises(ValueError, match="http_timeout"):
            load(http_timeout=value)
