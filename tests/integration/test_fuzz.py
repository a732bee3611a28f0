"""What is made up, over a real socket to a real worker; `make fuzz ARGS=live` goes on with it."""

from __future__ import annotations

import pytest

from tests.fuzz import corpus
from tests.fuzz.live import attacked

pytestmark = pytest.mark.integration


def test_a_worker_outlives_what_is_made_up_and_keeps_nothing_of_it():
    with attacked() as target:
        for path in corpus.paths(target.name):
            target.check(corpus.load(path))
        target.try_known()
