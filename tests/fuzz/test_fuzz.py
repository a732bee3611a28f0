"""What was found once is not found again, and nothing else in a few seconds."""

from __future__ import annotations

import pytest

from tests.fuzz import corpus
from tests.fuzz.targets import TARGETS

KEPT = [path for name in TARGETS for path in corpus.paths(name)]


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_is_in_the_corpus_is_treated_right(path):
    TARGETS[path.parent.name].check(corpus.load(path))


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_made_up_is_treated_right(name):
    TARGETS[name].try_known()


def test_every_folder_of_the_corpus_has_a_target():
    folders = {path.name for path in corpus.ROOT.iterdir() if path.is_dir()}
    assert folders <= set(TARGETS)
