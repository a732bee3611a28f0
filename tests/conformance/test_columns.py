"""What the table is made of: cells that are kept, and how slow clients are judged."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager

import pytest

from tests.conformance.__main__ import NO_PART, report
from tests.conformance.columns import Finding
from tests.conformance.contestants import CONTESTANTS
from tests.conformance.corpus import find_fault
from tests.conformance.results import Results
from tests.conformance.slow_clients import COUNT, KINDS, Siege
from tests.corpus.gunicorns import Sample
from tests.slowloris.attackers import Lives


def test_what_was_found_is_found_again_and_shown_beside_the_new(tmp_path):
    path = tmp_path / "results.json"
    Results(path).add("ours", "corpus", Finding("62 of 62", ("a fault",)))
    again = Results(path)
    again.add("uvicorn", "slow", Finding("all", is_quick=True))
    assert Results(path).find("ours", "corpus") == Finding("62 of 62", ("a fault",))
    text = report(Results(path))
    assert "62 of 62" in text
    assert "- a fault" in text
    assert "--quick --only slow" in text
    assert "--only corpus" not in text
    assert NO_PART in text
    assert "Autobahn" not in text  # nobody has a cell there


def test_only_gunicorns_are_asked_what_is_about_a_setting():
    assert [each.knows({"proxy_protocol": True}) for each in CONTESTANTS] == [True] * 4 + [
        False
    ] * 2


@pytest.mark.parametrize(
    ("asked", "latencies", "found"),
    [
        (100, [0.001] * 100, "under 10 ms"),
        (100, [0.001] * 99 + [2.0], "over 1 s"),
        (1000, [0.05] * 998, "under 100 ms"),
        (100, [0.001] * 90, "no answer"),
    ],
)
def test_a_latency_is_told_by_its_class(asked, latencies, found):
    assert Siege(asked, latencies).latency_class == found


@pytest.mark.parametrize(
    ("dropped", "fate"), [(0, "not cut"), (5, "5 of 166 cut"), (400, "cut within 12 s")]
)
def test_slow_clients_are_cut_when_all_of_them_were_once(dropped, fate):
    assert COUNT // len(KINDS) == 166
    siege = Siege(lives={"head": Lives(opened=600, dropped=dropped, longest=12.2)})
    assert siege.tell_fate("head") == fate


@contextmanager
def answering(answer, *, closes=True):
    """Have a server that answers whatever comes; yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(answer)
                while not closes and sock.recv(65536):
                    pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


OK = b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n["GET", ""]'
BAD = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
REQUEST = {"method": "GET", "body": b""}


@pytest.mark.parametrize(
    ("name", "answer", "fault"),
    [
        ("valid/1", OK, ""),
        ("valid/1", BAD, "answered 400"),
        ("valid/1", OK.replace(b"GET", b"PUT"), "another method or body than was sent"),
        ("valid/1", b"", "no answer"),
        ("invalid/1", OK, "served"),
        ("invalid/1", BAD, ""),
        ("invalid/1", BAD + OK, "served"),
        ("invalid/1", b"", ""),
    ],
)
@pytest.mark.parametrize("closes", [True, False])
def test_a_sample_is_judged_by_what_comes_back(name, answer, fault, closes):
    sample = Sample(name, b"GET / HTTP/1.1\r\n\r\n", {}, [REQUEST])
    if name.startswith("valid") and not answer and not closes:
        fault = "no answer, and no end"
    with answering(answer, closes=closes) as port:
        assert find_fault(port, sample) == fault
