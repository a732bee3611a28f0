"""Which shards a URL names."""

from urllib.parse import urlsplit

import pytest

from wsgi_bridge.exceptions import InvalidLayerURL
from wsgi_bridge.layers import open_layer
from wsgi_bridge.layers.redis.keys import rendezvous
from wsgi_bridge.layers.redis.url import places_of


def places(url, **settings):
    return places_of(urlsplit(url), prefix="p", buckets=4, settings=settings)


def names(url, **settings):
    return [place.name for place in places(url, **settings)]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", ["localhost:6379/0"]),
        ("redis://example.com", ["example.com:6379/0"]),
        ("redis://a:1,b:2/3", ["a:1/3", "b:2/3"]),
        ("redis://[::1]:7000,[::2]", ["::1:7000/0", "::2:6379/0"]),
        ("rediss://user:pass@a", ["a:6379/0"]),
        ("redis+unix:///run/redis.sock", ["/run/redis.sock/0"]),
        ("redis+unix:///a.sock,/b.sock", ["/a.sock/0", "/b.sock/0"]),
        ("redis+sentinel://s1,s2:5/main", ["main/0"]),
        ("redis+sentinel://s1/one,two/4", ["one/4", "two/4"]),
        ("redis+cluster://a,b:7001", ["p.0", "p.1", "p.2", "p.3"]),
    ],
)
def test_the_shards_of_a_url(url, expected):
    assert names(url) == expected


def test_credentials_and_tls_are_options_of_each_connection():
    [place] = places("rediss://us%40er:p%3Ass@a", ca_certs="/ca.pem")
    options = place._options
    assert (options["username"], options["password"]) == ("us@er", "p:ss")
    assert options["ssl"] is True
    assert options["ssl_ca_certs"] == "/ca.pem"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://a:port", "HOST:PORT"),
        ("redis://a:65536", "HOST:PORT"),
        ("redis://a..b", "HOST:PORT"),
        ("redis+sentinel://a..b/main", "HOST:PORT"),
        ("rediss://a?cert_reqs=maybe", "none, optional, required"),
        ("redis://a/name", "database"),
        ("redis+unix://host/path", "absolute"),
        ("redis+sentinel://a", "SERVICE"),
        ("redis+cluster://a/1", "database 0"),
        ("redis+cluster://", "HOST"),
        ("redis://a?prefix={x}", "braces"),
        ("redis://a?color=red", "color"),
    ],
)
def test_a_bad_url_is_refused_with_what_was_expected(url, message):
    with pytest.raises(InvalidLayerURL, match=message):
        open_layer(url)


def test_the_error_does_not_show_the_password():
    with pytest.raises(InvalidLayerURL) as caught:
        open_layer("redis://user:secret@a:port")
    assert "secret" not in str(caught.value)


def test_options_of_the_layer_may_stand_in_the_url():
    layer = open_layer("redis://a?prefix=x&capacity=7&symmetric_encryption_keys=k1,k2&timeout=0.5")
    assert layer.capacity == 7
    assert layer._shards[0].keys.index == b"{x}:index"
    assert layer._shards[0].timeout == 0.5


def test_a_shard_that_is_added_moves_no_other_channels():
    channels = [f"c{number}" for number in range(300)]
    before = {name: ["a", "b"][rendezvous(name, ["a", "b"])] for name in channels}
    after = {name: ["b", "c", "a"][rendezvous(name, ["b", "c", "a"])] for name in channels}
    moved = [name for name in channels if before[name] != after[name]]
    assert all(after[name] == "c" for name in moved)
    assert 50 < len(moved) < 150
