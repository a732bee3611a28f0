"""The least number of workers of a split gunicorn: a hook that takes changes below it back."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from gunicorn.config import Config

from gunicorn_asgi.least import LeastWorkers


class Arbiter:
    """As far as `num_workers` of gunicorn's goes."""

    def __init__(self, cfg: Config, workers: int) -> None:
        self.cfg = cfg
        self._workers = workers

    @property
    def num_workers(self) -> int:
        return self._workers

    @num_workers.setter
    def num_workers(self, workers: int) -> None:
        before, self._workers = self._workers, workers
        self.cfg.nworkers_changed(self, workers, before)


@pytest.fixture
def heard() -> list[tuple[int, int | None]]:
    return []


@pytest.fixture
def cfg(heard: list[tuple[int, int | None]]) -> Config:
    cfg = Config()

    def hook(arbiter: Any, workers: int, before: int | None) -> None:
        heard.append((workers, before))

    cfg.set("nworkers_changed", hook)
    return cfg


@pytest.mark.parametrize(
    ("servers", "before", "asked", "left"),
    [
        (1, 3, 2, 2),
        (1, 2, 1, 2),
        (2, 3, 2, 3),
        (2, 4, 3, 3),
        (2, 2, 3, 3),  # there were too few: more is never refused
        (2, 2, 1, 2),
        (1, 4, 0, 0),  # WINCH
    ],
)
def test_only_a_change_that_leaves_no_consumer_is_taken_back(
    cfg: Config,
    heard: list[tuple[int, int | None]],
    caplog: pytest.LogCaptureFixture,
    servers: int,
    before: int,
    asked: int,
    left: int,
) -> None:
    LeastWorkers.install(cfg, servers, logging.getLogger("test"))
    arbiter = Arbiter(cfg, before)
    arbiter.num_workers = asked
    assert arbiter.num_workers == left
    assert heard == ([(asked, before)] if asked == left else [])
    assert bool(caplog.records) == (asked != left)


def test_it_is_installed_once_however_often_workers_are_made(
    cfg: Config, heard: list[tuple[int, int | None]]
) -> None:
    for servers in (1, 2):
        LeastWorkers.install(cfg, servers, logging.getLogger("test"))
    arbiter = Arbiter(cfg, 4)
    arbiter.num_workers = 3
    arbiter.num_workers = 2
    assert (arbiter.num_workers, heard) == (3, [(3, 4)])


def test_the_first_number_of_workers_is_no_change(
    cfg: Config, heard: list[tuple[int, int | None]]
) -> None:
    LeastWorkers.install(cfg, 1, logging.getLogger("test"))
    cfg.nworkers_changed(None, 1, None)
    assert heard == [(1, None)]
