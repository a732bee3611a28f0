"""Opening layers by URL, and the contract for what is opened."""

import sys

import pytest

from wsgi_bridge.exceptions import InvalidLayerURL
from wsgi_bridge.layers import open_layer
from wsgi_bridge.layers.conformance import LayerConformance


class TestMemoryConformance(LayerConformance):
    def make_layer(self, **options):
        return open_layer("memory://", **options)


class TestURLs:
    def test_a_nameless_layer_is_a_new_one(self):
        assert open_layer("memory://") is not open_layer("memory://")

    def test_a_named_layer_is_one_in_a_process_until_it_is_closed(self):
        layer = open_layer("memory://chat")
        other = open_layer("memory://other")
        assert open_layer("memory://chat?capacity=3") is layer
        assert other is not layer
        layer.close()
        other.close()
        again = open_layer("memory://chat")
        assert again is not layer
        again.close()

    def test_options_may_stand_in_the_url(self):
        url = "memory://?expiry=1.5&group_expiry=7&capacity=9&max_message_size=2000"
        layer = open_layer(url + "&channel_capacity=http.*:3,p!:4", capacity=2)
        assert (layer.expiry, layer.group_expiry, layer.capacity) == (1.5, 7, 9)
        assert layer.max_message_size == 2000
        assert layer.capacity_of("http.request") == 3
        assert layer.capacity_of("p!") == 4

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("carrier-pigeon://", "memory://"),
            ("", "memory://"),
            ("memory://?capcity=3", "capacity"),
            ("memory://?capacity=many", "capacity"),
            ("memory://?channel_capacity=a", "channel_capacity"),
        ],
    )
    def test_a_bad_url_is_refused_with_what_was_expected(self, url, message):
        with pytest.raises(InvalidLayerURL, match=message):
            open_layer(url)

    def test_a_missing_library_is_told_with_its_extra(self, monkeypatch):
        for name in [name for name in sys.modules if name.startswith("wsgi_bridge.layers.redis")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "redis", None)
        monkeypatch.setitem(sys.modules, "redis.exceptions", None)
        with pytest.raises(InvalidLayerURL, match=r"wsgi-bridge\[redis\]"):
            open_layer("redis://localhost")

    def test_the_error_does_not_show_the_password(self):
        with pytest.raises(InvalidLayerURL) as caught:
            open_layer("unknown://user:secret@host")
        assert "secret" not in str(caught.value)
