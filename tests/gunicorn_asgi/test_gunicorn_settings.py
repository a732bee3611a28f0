"""The table of gunicorn's settings: complete for the gunicorn that is installed, and true."""

from __future__ import annotations

import logging

import gunicorn
import pytest
from gunicorn.config import KNOWN_SETTINGS, Config

from gunicorn_asgi import Worker
from gunicorn_asgi.gunicorn_settings import SETTINGS, Kind

NEWEST_KNOWN = (27,)
# Values that gunicorn takes, and are not its defaults, where one cannot be made up.
VALUES = {
    "asgi_lifespan": "off",
    "asgi_loop": "uvloop",
    "ca_certs": __file__,
    "certfile": __file__,
    "cert_reqs": 2,
    "ciphers": "ECDHE",
    "header_map": "refuse",
    "http2_cleartext": "upgrade",
    "http_parser": "python",
    "http_protocols": "h1,h2",
    "keyfile": __file__,
    "protocol": "uwsgi",
    "proxy_protocol": True,
    "root_path": "/site",
    "secure_scheme_headers": {"X-SCHEME": "tls"},
    "sendfile": False,
    "ssl_context": lambda config, factory: factory(),
    "ssl_version": "TLSv1_2",
    "pre_request": lambda worker, request: None,
    "post_request": lambda worker, request: None,
    "tmp_upload_dir": "/tmp",
    "uwsgi_allow_ips": "*",
    "proxy_allow_ips": "*",
    "forwarded_allow_ips": "*",
    "forwarder_headers": "*",
    "errorlog": "/dev/null",
    "accesslog": "-",
    "access_log_format": "%(h)s",
    "reload_extra_files": [__file__],
    "reload_engine": "poll",
    "statsd_host": "127.0.0.1:8125",
    "worker_int": lambda worker: None,
}


class Log:
    def __init__(self):
        self.warnings = []

    def log(self, level, text, fields, **_):
        assert level == logging.WARNING
        self.warnings.append(text % fields)


def changed(name):
    """Return a configuration in which one setting is not the default."""
    cfg = Config()
    value = VALUES.get(name)
    if value is None:
        old = cfg.settings[name].get()
        value = not old if isinstance(old, bool) else int(old) + 1
    cfg.set(name, value)
    return cfg


def names(kind):
    known = {setting.name for setting in KNOWN_SETTINGS}
    return sorted(name for name, rule in SETTINGS.items() if rule.kind is kind and name in known)


def test_every_setting_of_the_installed_gunicorn_is_in_the_table():
    known = {setting.name for setting in KNOWN_SETTINGS}
    assert known - set(SETTINGS) == set()


@pytest.mark.skipif(
    gunicorn.version_info[:1] != NEWEST_KNOWN, reason="the table is that of the newest gunicorn"
)
def test_the_table_has_nothing_that_gunicorn_has_not():
    assert set(SETTINGS) - {setting.name for setting in KNOWN_SETTINGS} == set()


def test_the_defaults_are_accepted_in_silence():
    log = Log()
    Worker.check_config(Config(), log)
    assert log.warnings == []


@pytest.mark.parametrize("name", names(Kind.REFUSED))
def test_what_cannot_be_done_is_refused_with_what_to_do_instead(name):
    with pytest.raises(RuntimeError) as refusal:
        Worker.check_config(changed(name), Log())
    said = str(refusal.value)
    assert said == f"gunicorn_asgi.Worker does not do {name}. {SETTINGS[name].note}"
    assert "leave" in said.lower()


@pytest.mark.parametrize("name", names(Kind.NOTHING))
def test_what_has_no_effect_is_a_warning_that_says_why(name):
    log = Log()
    Worker.check_config(changed(name), log)
    (warning,) = log.warnings
    assert warning == (f"{name} is without effect with gunicorn_asgi.Worker. {SETTINGS[name].note}")


@pytest.mark.parametrize("name", names(Kind.HONOURED))
def test_what_is_honoured_is_accepted_in_silence(name, monkeypatch):
    monkeypatch.setattr("gunicorn_asgi.certificates.make_context", lambda cfg: None)  # no files
    log = Log()
    Worker.check_config(changed(name), log)
    assert log.warnings == []


def test_every_rule_says_why_or_how():
    assert [name for name, rule in SETTINGS.items() if not rule.note.endswith(".")] == []
