"""Which pages may open a WebSocket here: the settings, over real connections."""

from __future__ import annotations

import pytest

from tests.integration.sockets import RawSocket

pytestmark = pytest.mark.integration
SERVER = {
    "app": "tests.apps.sockets:application",
    "env": {"ASGI_ALLOWED_ORIGINS": "https://app.example, https://b.example:8443"},
}


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://app.example", 101),
        ("https://APP.example", 101),
        ("https://b.example:8443", 101),
        ("https://site.example", 101),  # its own
        (None, 101),
        ("http://app.example", 403),
        ("https://b.example", 403),
        ("https://evil.example", 403),
        ("null", 403),
    ],
)
def test_an_origin_is_allowed_or_not(server, origin, status):
    with RawSocket(server, "/echo", host="site.example", origin=origin) as client:
        assert client.read_response().status == status
