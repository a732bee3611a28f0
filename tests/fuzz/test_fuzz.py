"""What was found once is not found again, and nothing else in a few seconds."""

from __future__ import annotations

import logging

import gevent
import pytest
from hypothesis import strategies as st

from tests.fuzz import corpus, live
from tests.fuzz.faults import revealed
from tests.fuzz.target import Found, Target
from tests.fuzz.targets import TARGETS

KEPT = [path for name in TARGETS for path in corpus.paths(name)]


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_is_in_the_corpus_is_treated_right(path):
    with revealed():
        TARGETS[path.parent.name].check(corpus.load(path))


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_made_up_is_treated_right(name):
    TARGETS[name].try_known()


def test_every_folder_of_the_corpus_has_a_target():
    folders = {path.name for path in corpus.ROOT.iterdir() if path.is_dir()}
    assert folders <= {*TARGETS, live.NAME}


def test_a_fault_that_only_the_hub_or_a_log_sees_is_found():
    with pytest.raises(ZeroDivisionError), revealed():
        gevent.get_hub().loop.run_callback(lambda: 1 / 0)
        gevent.sleep(0)
    with pytest.raises(KeyError), revealed():
        logging.getLogger("any").error("failed", exc_info=KeyError())


def test_what_a_check_does_not_take_is_made_small():
    def check(data):
        assert b"\0" not in data

    target = Target("zeros", st.binary(), check, examples=1000)
    with pytest.raises(Found) as found:
        target.try_new(1, seconds=10)
    assert found.value.value == b"\0"
