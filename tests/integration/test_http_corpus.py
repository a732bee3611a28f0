"""gunicorn's corpus of requests against a real gunicorn with our worker, each file once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import gunicorn.config
import pytest

from tests.corpus.gunicorns import (
    Sample,
    expected_environ,
    load_corpus,
    relevant_environ,
    usable,
)
from tests.integration.servers import Server, run_server
from tests.integration.wire import open_wire

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def corpus() -> list[Sample]:
    return usable(load_corpus(), gunicorn.config.Config().settings)


def by_settings(samples: list[Sample]) -> Iterator[tuple[dict[str, Any], list[Sample]]]:
    """Put together what one server can be asked."""
    ordered = sorted(samples, key=lambda sample: repr(sample.settings))
    for _, group in groupby(ordered, key=lambda sample: repr(sample.settings)):
        together = list(group)
        yield together[0].settings, together


def fault(server: Server, sample: Sample) -> str:
    """Return what is wrong with how a sample is served, if anything is."""
    with open_wire(server) as wire:
        wire.send(sample.data)
        wire.end_sending()
        if not sample.is_valid:
            answer = wire.read_rest()
            is_refused = answer[9:10] in (b"", b"4", b"5") and b"HTTP/1.1 2" not in answer
            return "" if is_refused else f"answered {answer!r}"
        for request in sample.requests:
            response = wire.read_response()
            if response.status not in (200, 405):
                return f"answered {response}"
            environ, body = json.loads(response.content)
            expected = expected_environ(request)
            if relevant_environ(environ, expected) != expected:
                return f"{environ} instead of {expected}"
            if body.encode("latin-1") != (request["body"] or b""):
                return f"{body!r} instead of {request['body']!r}"
    return ""


def test_every_file_is_served_or_refused_as_it_says(corpus: list[Sample], tmp_path: Path) -> None:
    faults = []
    for settings, samples in by_settings(corpus):
        config = tmp_path / "gunicorn.conf.py"
        config.write_text("".join(f"{name} = {value!r}\n" for name, value in settings.items()))
        # Consumers that read a body which turns out bad say so in the log.
        with run_server(
            "tests.apps.corpus:application", args=["-c", str(config)], may_log_errors=True
        ) as server:
            found = [(sample.name, fault(server, sample)) for sample in samples]
            faults += [f"{name}: {text}" for name, text in found if text]
    assert not faults, "\n".join(faults)
