"""The suite that every channel layer passes; inherit it to test your own.

    from wsgi_bridge.layers.conformance import LayerConformance
    from mylayer import MyLayer

    class TestMyLayer(LayerConformance):
        def make_layer(self, **options):
            return MyLayer("localhost", **options)

`make_layer` is given the options of `BaseLayer` that a test needs, always with `clock=self.clock`,
and returns an empty layer; the suite closes it. A layer that is shared between processes also
overrides `make_peer`, to return a second handle on what the first one is connected to: the tests
then send and join by the one and receive by the other.

The time of expiry is the test's own clock, which is moved and not waited for. What does wait, in
threads, gives up after `patience` seconds. Any runner will do that collects classes named `Test…`
and calls `setup_method` and `teardown_method`: pytest does, plain or patched by gevent.

The tests of an extension are skipped (unittest.SkipTest) for a layer that does not list it.

Each test's docstring is the sentence of MESSAGES.md section 1 that must hold. What cannot be seen
from one process (that a killed one takes its channels with it) is left to the layer's own tests.
"""

from __future__ import annotations

from wsgi_bridge.layers.conformance.accounts import AccountTests
from wsgi_bridge.layers.conformance.asynchronous import AsyncioTests
from wsgi_bridge.layers.conformance.batches import BatchTests
from wsgi_bridge.layers.conformance.content import ContentTests
from wsgi_bridge.layers.conformance.groups import GroupTests
from wsgi_bridge.layers.conformance.introspection import IntrospectionTests
from wsgi_bridge.layers.conformance.logs import LogTests
from wsgi_bridge.layers.conformance.queues import QueueTests
from wsgi_bridge.layers.conformance.schedules import ScheduleTests
from wsgi_bridge.layers.conformance.storage import StorageTests
from wsgi_bridge.layers.conformance.support import ManualClock
from wsgi_bridge.layers.conformance.waiting import WaitingTests

__all__ = ["LayerConformance", "ManualClock"]


class LayerConformance(
    ContentTests,
    QueueTests,
    BatchTests,
    WaitingTests,
    GroupTests,
    AccountTests,
    IntrospectionTests,
    AsyncioTests,
    StorageTests,
    ScheduleTests,
    LogTests,
):
    """Every guarantee of a channel layer. Override `make_layer`, and `make_peer` if shared."""
