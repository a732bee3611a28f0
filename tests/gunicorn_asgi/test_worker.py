"""What the worker class says of gunicorn's settings before anything starts."""

from __future__ import annotations

import pytest
from gunicorn.config import Config

from gunicorn_asgi import Worker


class Log:
    """Keeps the warnings."""

    def __init__(self):
        self.warnings = []

    def warning(self, text, *values):
        self.warnings.append(text % values)


def check(**settings):
    """Return the warnings of `check_config` for a configuration with these settings."""
    cfg = Config()
    for name, value in settings.items():
        cfg.set(name, value)
    log = Log()
    Worker.check_config(cfg, log)
    return log.warnings


def test_the_default_configuration_is_accepted_in_silence():
    assert check() == []


@pytest.mark.parametrize(
    "settings",
    [
        {"certfile": __file__, "keyfile": __file__},
        {"protocol": "uwsgi"},
        {"proxy_protocol": "v1"},
    ],
)
def test_what_cannot_be_done_is_refused_with_what_to_do_instead(settings):
    with pytest.raises(RuntimeError, match=r"does not do .* put nginx in front of it"):
        check(**settings)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"pre_request": lambda worker, request: None}, "pre_request"),
        ({"header_map": "refuse"}, "header_map"),
        ({"forwarder_headers": "*"}, "forwarder_headers"),
        ({"casefold_http_method": True}, "casefold_http_method"),
        ({"threads": 8}, "threads=8"),
    ],
)
def test_what_is_ignored_is_a_warning_that_names_it(settings, word):
    (warning,) = check(**settings)
    assert word in warning
