"""RequestPolicy: gunicorn's limits and clamps, and whom it trusts."""

from __future__ import annotations

import pytest
from gunicorn.config import Config

from gunicorn_asgi.policy import RequestPolicy, read_policy


def policy_of(**settings):
    cfg = Config()
    for name, value in settings.items():
        cfg.set(name, value)
    return read_policy(cfg)


def test_the_defaults_are_gunicorns():
    policy = policy_of()
    assert (policy.line, policy.fields, policy.field_size) == (4094, 100, 8190)
    assert policy.secure_headers == {
        b"x-forwarded-protocol": b"ssl",
        b"x-forwarded-proto": b"https",
        b"x-forwarded-ssl": b"on",
    }
    assert policy.root_path == ""
    default = RequestPolicy()
    assert (policy.line, policy.fields, policy.field_size) == (
        default.line,
        default.fields,
        default.field_size,
    )


@pytest.mark.parametrize(
    ("setting", "value", "attribute", "limit"),
    [
        ("limit_request_line", 0, "line", 8190),
        ("limit_request_line", 100, "line", 100),
        ("limit_request_line", 100_000, "line", 8190),
        ("limit_request_fields", 0, "fields", 32768),
        ("limit_request_fields", 7, "fields", 7),
        ("limit_request_fields", 100_000, "fields", 32768),
        ("limit_request_field_size", 0, "field_size", 8190),
        ("limit_request_field_size", 100, "field_size", 100),
        ("limit_request_field_size", 100_000, "field_size", 100_000),
    ],
)
def test_limits_are_clamped_as_gunicorn_clamps_them(setting, value, attribute, limit):
    assert getattr(policy_of(**{setting: value}), attribute) == limit


@pytest.mark.parametrize(
    ("allowed", "peer", "is_trusted"),
    [
        ("127.0.0.1,::1", "127.0.0.1", True),
        ("127.0.0.1,::1", "::1", True),
        ("127.0.0.1,::1", "127.0.0.2", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "::1", False),
        ("2001:db8::/32", "2001:db8::7", True),
        ("*", "203.0.113.9", True),
        ("127.0.0.1", None, True),  # a Unix socket
        ("127.0.0.1", "", False),
        ("127.0.0.1", "fe80::1%eth0", False),
    ],
)
def test_forwarding_fields_are_believed_of_the_peers_that_are_named(allowed, peer, is_trusted):
    assert policy_of(forwarded_allow_ips=allowed).forwarders.includes(peer) is is_trusted


def test_the_sites_mount_point_is_gunicorns_script_name(monkeypatch):
    monkeypatch.setenv("SCRIPT_NAME", "/site")
    assert policy_of().root_path == "/site"


def test_every_field_that_says_how_to_read_a_request_is_special():
    special = policy_of(secure_scheme_headers={"X-Scheme": "tls"}).special_fields
    assert {
        b"connection",
        b"content-length",
        b"transfer-encoding",
        b"expect",
        b"x-scheme",
    } <= special
