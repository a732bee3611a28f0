"""Which files have changed."""

from __future__ import annotations

import os
import sys
import types

import pytest

from wsgi_bridge.processes.files import Files, files_of_failure

START = 1_700_000_000_000_000_000
SECOND = 1_000_000_000


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "site.py"
    path.touch()
    os.utime(path, ns=(START - 9 * SECOND,) * 2)
    return path


@pytest.fixture
def files(monkeypatch):
    now = [START]
    monkeypatch.setattr(sys, "modules", {})
    files = Files(clock=lambda: now[0])
    now[0] += 5 * SECOND
    return files


def test_a_file_that_stays_as_it_is_has_not_changed(files, file):
    files.add([str(file)])
    assert files.changed() == []


@pytest.mark.parametrize("change", ["written", "dated back", "removed"])
def test_a_change_is_told_once(files, file, change):
    files.add([str(file)])
    files.changed()
    if change == "removed":
        file.unlink()
    else:
        os.utime(file, ns=(START + (SECOND if change == "written" else -20 * SECOND),) * 2)
    assert files.changed() == [str(file)]
    assert files.changed() == []


def test_a_file_that_was_written_while_the_site_was_loaded_has_changed(files, file):
    os.utime(file, ns=(START + SECOND,) * 2)
    files.add([str(file)])
    assert files.changed() == [str(file)]
    assert files.changed() == []


def test_a_file_of_the_future_has_not_changed(files, file):
    os.utime(file, ns=(START + 100 * SECOND,) * 2)
    files.add([str(file)])
    assert files.changed() == []


def test_the_files_of_modules_are_watched(files, file):
    module = types.ModuleType("site")
    module.__file__ = str(file)
    sys.modules.update(site=module, builtin=types.ModuleType("builtin"))
    assert files.changed() == []
    file.touch()
    assert files.changed() == [str(file)]


def test_a_failure_has_the_files_that_it_went_through_and_their_directories(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("def broken(:")
    try:
        try:
            compile(path.read_text(), str(path), "exec")
        except SyntaxError as exc:
            raise ValueError("outer") from exc
    except ValueError as exc:
        found = files_of_failure(exc)
    assert {str(path), str(tmp_path), __file__, os.getcwd()} <= found
