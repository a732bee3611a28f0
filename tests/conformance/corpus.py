"""gunicorn's corpus of requests over a real socket: what is valid is served, the rest refused.

``tests/integration/test_http_corpus.py`` asks more of our worker: that the environ is right, too.
"""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.benchmarks.servers import running
from tests.conformance.contestants import Contestant
from tests.corpus.gunicorns import Sample, load_corpus
from tests.integration.wire import Wire

# Seconds without a byte after which a server is taken to wait for more; and after it was told that
# there is no more.
PATIENCE, LAST_PATIENCE = 1.0, 5.0


def find_faults(contestant: Contestant) -> tuple[list[Sample], dict[str, str]]:
    """Return the samples that a server can be asked, and what is wrong with how it answers some."""
    samples = [sample for sample in load_corpus() if contestant.knows(sample.settings)]
    faults: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "gunicorn.conf.py"
        for settings, together in _by_settings(samples):
            config.write_text("".join(f"{name} = {value!r}\n" for name, value in settings.items()))
            options = ("-c", str(config)) if settings else ()
            with running(contestant.with_app("corpus", options), None) as server:
                found = {sample.name: find_fault(server.port, sample) for sample in together}
            faults |= {name: fault for name, fault in found.items() if fault}
    return samples, faults


def _by_settings(samples: list[Sample]) -> Iterator[tuple[dict[str, Any], list[Sample]]]:
    """Put together what one server can be asked."""
    ordered = sorted(samples, key=lambda sample: repr(sample.settings))
    for _, group in groupby(ordered, key=lambda sample: repr(sample.settings)):
        together = list(group)
        yield together[0].settings, together


def find_fault(port: int, sample: Sample) -> str:
    """Return what is wrong with how a sample is served, if anything is."""
    with socket.create_connection(("127.0.0.1", port), timeout=LAST_PATIENCE) as sock:
        wire = Wire(sock)
        with suppress(OSError):  # it may be refused before all of it is there
            wire.send(sample.data)
        try:
            return _check_served(wire, sample) if sample.is_valid else _check_refused(wire)
        except TimeoutError:
            return "no answer, and no end"
        except (OSError, EOFError):
            return "no answer"
        except ValueError:
            return "another answer than the app's"


def _check_served(wire: Wire, sample: Sample) -> str:
    for request in sample.requests:
        response = wire.read_response()
        if response.status not in (200, 405):
            return f"answered {response.status}"
        method, body = json.loads(response.content)
        if method != request["method"] or body.encode("latin-1") != (request["body"] or b""):
            return "another method or body than was sent"
    return ""


def _check_refused(wire: Wire) -> str:
    """Not even when it is told that there is no more: an incomplete one may be waited for."""
    answer = bytearray()
    wire.sock.settimeout(PATIENCE)
    try:
        _read_rest(wire, answer)
    except TimeoutError:
        with suppress(OSError):
            wire.end_sending()
        wire.sock.settimeout(LAST_PATIENCE)
        with suppress(TimeoutError):
            _read_rest(wire, answer)
    is_refused = answer[9:10] in (b"", b"4", b"5") and b"HTTP/1.1 2" not in answer
    return "" if is_refused else "served"


def _read_rest(wire: Wire, answer: bytearray) -> None:
    """Read to the end; a reset is a way of refusing, too."""
    with suppress(ConnectionResetError, EOFError):
        while True:
            answer += wire.read_some(65536)
