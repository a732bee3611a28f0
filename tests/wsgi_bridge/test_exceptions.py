"""The exception tree: bases, attributes and what is said."""

import pickle

import pytest

from wsgi_bridge import exceptions
from wsgi_bridge.exceptions import (
    BridgeError,
    ChannelFull,
    ChannelLayerError,
    ChannelLayerUnavailable,
    DenyConnection,
    InvalidLayerURL,
    InvalidMessage,
    InvalidName,
    MessageTooLarge,
    RequestAborted,
    RoutingError,
)

TREE = [
    (ChannelLayerError, (BridgeError,)),
    (ChannelFull, (ChannelLayerError,)),
    (MessageTooLarge, (ChannelLayerError, ValueError)),
    (ChannelLayerUnavailable, (ChannelLayerError,)),
    (InvalidName, (ChannelLayerError, TypeError)),
    (InvalidMessage, (ChannelLayerError, TypeError)),
    (InvalidLayerURL, (ChannelLayerError, ValueError)),
    (RoutingError, (BridgeError, ValueError)),
    (RequestAborted, (BridgeError, ConnectionError, OSError)),
    (DenyConnection, (BridgeError,)),
]


@pytest.mark.parametrize(("error", "bases"), TREE)
def test_an_exception_is_caught_by_each_of_its_bases(error, bases):
    for base in (*bases, BridgeError):
        with pytest.raises(base):
            raise error("something")


def test_the_tree_is_drawn_in_the_docstring_whole():
    for name in exceptions.__all__:
        assert name in exceptions.__doc__


@pytest.mark.parametrize("error", [getattr(exceptions, name) for name in exceptions.__all__])
def test_an_exception_survives_pickling(error):
    copied = pickle.loads(pickle.dumps(error("something")))
    assert type(copied) is error
    assert str(copied) == str(error("something"))


def test_channel_full_names_the_channel():
    assert ChannelFull("http.request").channel == "http.request"
    assert str(ChannelFull("http.request")) == "channel 'http.request' is at capacity"


def test_a_denied_connection_is_403_unless_it_says_otherwise():
    assert (DenyConnection().status, DenyConnection().reason) == (403, "")
    denied = DenyConnection("sign in first", status=401)
    assert (denied.status, denied.reason) == (401, "sign in first")
