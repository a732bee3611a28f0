"""The local-first layer: one of this process before one that it shares; `layer` says what it does.

From the bottom up, each file knowing only those before it:

    exports      which single-reader channels of this process are read elsewhere
    own_reader   the order of what comes for a reader of this process by two ways
    ears         which channels may have something in the shared layer
    core         the two layers, and what is known of both
    sending      which of them a message goes to
    taking       from both, in fair shares and in order
    storage      that of the shared layer
    layer        the rest of the contract of `layers.base`
"""

from wsgi_bridge.layers.local_first.core import DEFAULT_SPILL, DEFAULT_SPILL_AFTER, LOCAL_CHANNELS
from wsgi_bridge.layers.local_first.layer import LocalFirstLayer

__all__ = ["DEFAULT_SPILL", "DEFAULT_SPILL_AFTER", "LOCAL_CHANNELS", "LocalFirstLayer"]
