"""Where warnings and errors of the packages go."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from gunicorn_asgi import error_log
from gunicorn_asgi.error_log import open_error_log


class Kept(logging.Handler):
    """Keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


@pytest.fixture
def package(monkeypatch):
    """A package's logger that nobody has configured; not even pytest, at the root."""
    logger = logging.getLogger("a_package")
    monkeypatch.setattr(error_log, "PACKAGES", [logger.name])
    monkeypatch.setattr(logger, "parent", logging.RootLogger(logging.WARNING))
    yield logger
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def gunicorn():
    """gunicorn's logger, with what it writes."""
    log = logging.getLogger("a_gunicorn.error")
    log.setLevel(logging.INFO)
    kept = Kept()
    log.addHandler(kept)
    yield SimpleNamespace(error_log=log, texts=kept.texts)
    log.removeHandler(kept)


def test_what_nobody_takes_is_in_gunicorns_error_log_once(package, gunicorn):
    open_error_log(gunicorn)
    open_error_log(gunicorn)
    package.warning("%s", "a fault")
    package.info("a detail")
    assert gunicorn.texts == ["a fault"]


@pytest.mark.parametrize(
    ("level", "texts"),
    [(logging.DEBUG, ["little", "much"]), (logging.WARNING, ["much"]), (logging.ERROR, [])],
)
def test_the_level_is_gunicorns(package, gunicorn, level, texts):
    gunicorn.error_log.setLevel(level)
    open_error_log(gunicorn)
    package.debug("little")
    package.warning("much")
    assert gunicorn.texts == texts


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("where", ["package", "root"])
def test_a_site_that_configures_logging_has_the_say(package, gunicorn, where, is_late):
    sites = Kept()
    logger = package if where == "package" else package.parent
    if is_late:
        open_error_log(gunicorn)
    logger.addHandler(sites)
    open_error_log(gunicorn)
    package.error("a fault")
    assert (sites.texts, gunicorn.texts) == (["a fault"], [])


def test_a_logger_class_of_the_sites_own_is_left_alone(package):
    open_error_log(SimpleNamespace())
    assert package.handlers == []
