"""A layer of one's own, and all it takes to test it: the suite that every layer passes."""

from wsgi_bridge.layers.conformance import LayerConformance
from wsgi_bridge.layers.memory import MemoryLayer


class NoisyLayer(MemoryLayer):
    """Keeps the names that it was sent to; a real one would reach another process."""

    def __init__(self, **options):
        super().__init__(**options)
        self.sent = []

    def send(self, channel, message):
        super().send(channel, message)
        self.sent.append(channel)


class TestNoisyLayer(LayerConformance):
    def make_layer(self, **options):
        return NoisyLayer(**options)
