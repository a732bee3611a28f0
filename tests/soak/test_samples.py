"""What a sample says of processes that come and go."""

from __future__ import annotations

import os

from tests.soak import samples
from tests.soak.samples import MASTER, Sampler
from wsgi_bridge import open_layer


def test_a_process_that_ends_while_it_is_looked_at_is_left_out(monkeypatch, tmp_path):
    def look_at(pid):
        if pid != os.getpid():
            raise ProcessLookupError
        return {"memory": 1}

    monkeypatch.setattr(samples, "look_at", look_at)
    monkeypatch.setattr(samples.cpu, "descendants", lambda _: [os.getpid() + 1])
    layer = open_layer(f"ipc://{tmp_path}/layer")
    found = Sampler(os.getpid(), tmp_path, layer)._take()
    layer.close()
    assert found.roles == {os.getpid(): MASTER}
    assert found.processes == {os.getpid(): {"memory": 1}}
