"""MESSAGES.md section 1: names."""

import pytest

from wsgi_bridge.exceptions import InvalidName
from wsgi_bridge.names import check_channel, check_group, check_pattern, check_reader, reader_of

GROUPS = ["a", "A-Z_0.9", "chat.room-1", "_", "n" * 99]
CHANNELS = [
    *GROUPS,
    "a?",
    "a!",
    "http.request.body?Kx3",
    "gunicorn.response.P9!c8",
    "n" * 97 + "!x",
]
BAD = ["", "n" * 100, "a b", "a/b", "é", "٣", "a\n", "\na", "a?b?c", "a!b!c", "a?b!c", "?a", "!a"]
NOT_TEXT = [b"a", 1, None, ["a"], ("a",), object()]


@pytest.mark.parametrize("name", CHANNELS)
def test_a_channel_name_is_accepted(name):
    check_channel(name)


@pytest.mark.parametrize("name", [*BAD, *NOT_TEXT])
def test_what_is_not_a_channel_name_is_refused_and_shown(name):
    for check in (check_channel, check_reader):
        with pytest.raises(InvalidName) as caught:
            check(name)
        assert str(caught.value).startswith(f"{name!r} is not a channel name: expected ")


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_name_is_accepted(name):
    check_group(name)


@pytest.mark.parametrize("name", [*BAD, *NOT_TEXT, "a?", "a!", "a?b", "a!b"])
def test_what_is_not_a_group_name_is_refused_and_shown(name):
    with pytest.raises(InvalidName) as caught:
        check_group(name)
    assert str(caught.value).startswith(f"{name!r} is not a group name: expected ")


@pytest.mark.parametrize("pattern", ["a?", "http.request.body?", "n" * 82 + "?"])
def test_a_pattern_is_accepted(pattern):
    check_pattern(pattern)


@pytest.mark.parametrize("pattern", [*BAD, *NOT_TEXT, "a", "a!", "a!b", "a?b", "n" * 83 + "?"])
def test_what_is_not_a_pattern_is_refused_and_shown(pattern):
    with pytest.raises(InvalidName) as caught:
        check_pattern(pattern)
    assert str(caught.value).startswith(f"{pattern!r} is not a pattern: expected ")


@pytest.mark.parametrize(
    ("name", "reader"),
    [("a", "a"), ("a?b", "a?b"), ("a!b", "a!"), ("a!", "a!"), ("p.q!r-s", "p.q!")],
)
def test_the_reader_of_a_name_is_its_part_up_to_the_exclamation_mark(name, reader):
    assert reader_of(name) == reader
    check_reader(reader)


def test_one_does_not_receive_past_the_exclamation_mark():
    with pytest.raises(InvalidName, match=r"cannot receive on 'a!b': expected its reader, 'a!'"):
        check_reader("a!b")
