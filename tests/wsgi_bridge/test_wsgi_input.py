"""wsgi.input: reading, the window, and what breaks off."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wsgi_bridge.wsgi_fakes import BODY, RecordingLayer, make_request
from wsgi_bridge.exceptions import RequestAborted
from wsgi_bridge.messages import BODY_WINDOW
from wsgi_bridge.wsgi_input import WINDOW, ChunkedInput, open_input

CONTINUE = (b"expect", b"100-continue")


def sized(size):
    return (b"content-length", b"%d" % size)


def chunk(content, more=True):
    return {"content": content, "more_content": more}


CLOSED = {"closed": True, "content": b"", "more_content": False}


class Body:
    """A request's input over a recording layer; `asked` is each body_window that was posted."""

    def __init__(self, *chunks, headers=(), body=b""):
        self.layer = RecordingLayer()
        self.layer.waiting[BODY].extend(chunks)
        self.asked = []
        request = make_request("POST", headers=headers, body=body, body_channel=BODY)
        self.stream = open_input(request, self.layer, self.post, 7.0)

    def post(self, message):
        self.asked.append(message["body_window"])

    @property
    def receives(self):
        return len(self.layer.receives)


def stream_of(content, *, step=3, headers=()):
    """Return an input whose content comes inline (a step) and in chunks."""
    pieces = [content[start : start + step] for start in range(step, len(content), step)]
    chunks = [chunk(piece) for piece in pieces] + [chunk(b"", more=False)]
    return Body(*chunks, headers=headers, body=content[:step]).stream


def test_a_whole_body_is_a_file_in_memory():
    stream = open_input(make_request("POST", body=b"abc"), RecordingLayer(), None)
    assert isinstance(stream, io.BytesIO)
    assert stream.read() == b"abc"


def test_no_body_is_an_empty_file():
    assert open_input(make_request(), RecordingLayer(), None).read() == b""


CONTENT = b"one\ntwo\n\nfour and more\nlast"
READS = {
    "read": lambda stream: stream.read(),
    "read(None)": lambda stream: stream.read(None),
    "read(-1)": lambda stream: stream.read(-1),
    "read(0)": lambda stream: [stream.read(0), stream.read()],
    "read(1)": lambda stream: [stream.read(1) for _ in range(30)],
    "read(10)": lambda stream: [stream.read(10) for _ in range(5)],
    "read more than there is": lambda stream: [stream.read(1000), stream.read(1000)],
    "readline": lambda stream: [stream.readline() for _ in range(7)],
    "readline(None)": lambda stream: stream.readline(None),
    "readline(2)": lambda stream: [stream.readline(2) for _ in range(20)],
    "readline(0)": lambda stream: [stream.readline(0), stream.readline()],
    "readline(1000)": lambda stream: [stream.readline(1000) for _ in range(7)],
    "readlines": lambda stream: stream.readlines(),
    "readlines(1)": lambda stream: [stream.readlines(1), stream.read()],
    "readlines(5)": lambda stream: [stream.readlines(5), stream.read()],
    "readlines(0)": lambda stream: stream.readlines(0),
    "iteration": lambda stream: list(stream),
    "a mix": lambda stream: [stream.readline(), stream.read(2), next(iter(stream)), stream.read()],
}


@pytest.mark.parametrize("step", [1, 3, 9, 1000])
@pytest.mark.parametrize("use", READS.values(), ids=READS.keys())
def test_it_reads_as_a_file_does(use, step):
    assert use(stream_of(CONTENT, step=step)) == use(io.BytesIO(CONTENT))


@given(
    content=st.binary(max_size=60) | st.text("ab\n", max_size=60).map(str.encode),
    step=st.integers(1, 12),
    calls=st.lists(
        st.tuples(st.sampled_from(["read", "readline"]), st.integers(-1, 15)), max_size=12
    ),
    is_sized=st.booleans(),
)
def test_any_sequence_of_reads_is_a_file_s(content, step, calls, is_sized):
    stream = stream_of(content, step=step, headers=[sized(len(content))] if is_sized else [])
    file = io.BytesIO(content)
    for name, size in calls:
        assert getattr(stream, name)(size) == getattr(file, name)(size)
    assert stream.read() == file.read()


# The end


def test_the_end_is_for_good():
    body = Body(chunk(b"abc", more=False))
    assert [body.stream.read(), body.stream.read(), body.stream.readline()] == [b"abc", b"", b""]
    assert body.receives == 1


def test_nothing_is_received_past_content_length():
    body = Body(chunk(b"cd"), headers=[sized(4)], body=b"ab")
    assert [body.stream.read(), body.stream.read(1)] == [b"abcd", b""]
    assert body.receives == 1


def test_content_past_content_length_is_cut():
    body = Body(chunk(b"cdefg"), headers=[sized(4)], body=b"ab")
    assert body.stream.read() == b"abcd"


def test_an_inline_body_that_is_whole_asks_for_nothing():
    body = Body(headers=[sized(2)], body=b"ab")
    assert body.stream.read() == b"ab"
    assert (body.receives, body.asked) == (0, [])


def test_reading_what_is_there_does_not_wait():
    body = Body(chunk(b"line\nmore"), body=b"in")
    assert [body.stream.read(2), body.receives] == [b"in", 0]
    assert [body.stream.readline(), body.receives] == [b"line\n", 1]
    assert [body.stream.read(4), body.receives] == [b"more", 1]


# Breaking off


def test_a_client_that_went_away_aborts_the_request():
    body = Body(chunk(b"abc"), CLOSED)
    assert body.stream.read(1) == b"a"
    with pytest.raises(RequestAborted, match="the client went away"):
        body.stream.read()


def test_an_aborted_body_stays_aborted():
    body = Body(CLOSED)
    for _ in range(2):
        with pytest.raises(RequestAborted, match="the client went away"):
            body.stream.read(1)
    assert body.receives == 1


def test_a_body_shorter_than_its_content_length_is_aborted():
    body = Body(chunk(b"abc", more=False), headers=[sized(5)])
    assert body.stream.read(3) == b"abc"
    with pytest.raises(RequestAborted, match="2 bytes before its end"):
        body.stream.read()


def test_a_server_that_sends_nothing_is_given_up():
    body = Body(chunk(b"abc"))
    with pytest.raises(RequestAborted, match="no request body for 7.0 seconds"):
        body.stream.read()
    assert body.layer.receives[-1] == ((BODY,), 7.0)


def test_an_abort_is_a_connection_error():
    with pytest.raises(ConnectionError):
        Body(CLOSED).stream.read()


# The window


def test_nothing_is_asked_for_before_the_app_reads():
    body = Body(chunk(b"x"), headers=[CONTINUE])
    assert (body.receives, body.asked) == (0, [])


def test_100_continue_is_asked_for_by_the_first_read():
    body = Body(chunk(b"x"), headers=[CONTINUE, sized(1)])
    body.stream.read()
    assert body.asked == [WINDOW]


@pytest.mark.parametrize("value", [b"100-Continue", b"100-CONTINUE"])
def test_the_expectation_has_no_case(value):
    body = Body(chunk(b"x"), headers=[(b"expect", value), sized(1)])
    body.stream.read()
    assert body.asked == [WINDOW]


def test_a_body_within_the_initial_window_asks_for_nothing():
    content = b"x" * BODY_WINDOW
    body = Body(chunk(content), headers=[sized(len(content) + 2)], body=b"ab")
    body.stream.read()
    assert body.asked == []


def test_a_larger_body_asks_before_it_waits():
    body = Body(chunk(b"x"), headers=[sized(BODY_WINDOW + 1)])
    body.stream.read(1)
    assert body.asked == [WINDOW]


def test_the_window_moves_each_half_window():
    size = 4 * WINDOW
    step = 32768
    chunks = [chunk(b"x" * step) for _ in range(size // step)]
    body = Body(headers=[sized(size)])
    for item in chunks:
        body.layer.waiting[BODY].append(item)
        body.stream.read(step)
    half = WINDOW // 2
    expected = [WINDOW + half * number for number in range(7)]
    assert body.asked == expected
    assert body.asked[-1] >= size


def test_the_window_is_never_more_than_one_ahead_of_what_was_received():
    body = Body()
    received = 0
    for _ in range(40):
        body.layer.waiting[BODY].append(chunk(b"x" * 30_000))
        body.stream.read(30_000)
        received += 30_000
        assert body.asked[-1] <= received + WINDOW


def test_a_body_nobody_read_is_discarded_without_waiting():
    body = Body(chunk(b"x"), chunk(b"y"))
    assert isinstance(body.stream, ChunkedInput)
    body.stream.discard()
    assert body.layer.receives == [((BODY,), 0)]
    assert not body.layer.waiting[BODY]
