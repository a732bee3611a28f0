"""wsgi.file_wrapper."""

from __future__ import annotations

import io
import os

import pytest

from wsgi_bridge.wsgi_files import BLOCK_SIZE, FileWrapper


class SlowFile:
    """As a socket's: it may have to wait for its bytes."""

    def __init__(self):
        self.sizes = []

    def read(self, size):
        self.sizes.append(size)
        return b"x" if len(self.sizes) < 3 else b""


@pytest.mark.parametrize("size", [0, 1, BLOCK_SIZE, BLOCK_SIZE + 1, 3 * BLOCK_SIZE])
def test_the_blocks_are_the_file(size):
    content = os.urandom(size)
    blocks = list(FileWrapper(io.BytesIO(content)))
    assert b"".join(blocks) == content
    assert all(blocks)


def test_a_regular_file_is_read_in_large_blocks(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * (BLOCK_SIZE + 1))
    with path.open("rb") as file:
        assert [len(block) for block in FileWrapper(file, 8192)] == [BLOCK_SIZE, 1]


def test_a_file_that_may_wait_is_read_as_the_app_says():
    file = SlowFile()
    assert list(FileWrapper(file, 10)) == [b"x", b"x"]
    assert file.sizes == [10, 10, 10]


def test_a_pipe_is_read_as_the_app_says():
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as file:
        assert FileWrapper(file, 10).block_size == 10
    os.close(writer)


def test_closing_closes_the_file():
    file = io.BytesIO()
    FileWrapper(file).close()
    assert file.closed


def test_a_file_without_close_makes_a_wrapper_without_it():
    assert not hasattr(FileWrapper(SlowFile()), "close")


def test_reading_begins_where_the_file_stands():
    file = io.BytesIO(b"abcdef")
    file.seek(3)
    assert b"".join(FileWrapper(file)) == b"def"
