"""The contract, for the ipc layer."""

import shutil
import tempfile

from wsgi_bridge.layers.conformance import LayerConformance
from wsgi_bridge.layers.ipc import IpcLayer


class TestIpcConformance(LayerConformance):
    def setup_method(self):
        self.directories = []
        super().setup_method()

    def teardown_method(self):
        super().teardown_method()
        for directory in self.directories:
            shutil.rmtree(directory)

    def make_layer(self, **options):
        self.directories.append(tempfile.mkdtemp())
        return IpcLayer(self.directories[-1], **options)

    def make_peer(self, layer):
        return IpcLayer(
            layer.directory,
            expiry=layer.expiry,
            group_expiry=layer.group_expiry,
            capacity=layer.capacity,
            channel_capacity=layer.channel_capacity,
            max_message_size=layer.max_message_size,
            clock=layer.clock,
        )
