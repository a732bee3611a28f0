"""Looking at an ipc layer from outside: which there are, who uses them, what is in them."""

import contextlib
import os
import subprocess
import sys

import pytest

from wsgi_bridge.layers.conformance import ManualClock
from wsgi_bridge.layers.ipc import IpcLayer, directory
from wsgi_bridge.layers.ipc.directory import MARKER, has_layer, known_directories


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """Return the folder in which layers of a name are; no other folder is looked into."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(directory.tempfile, "gettempdir", lambda: str(tmp_path / "elsewhere"))
    return tmp_path / f"wsgi-bridge-{os.geteuid()}"


def make_layer(path):
    path.parent.mkdir(mode=0o700, exist_ok=True, parents=True)
    with contextlib.closing(IpcLayer(path)) as layer:
        layer.send("a", {})
    return path


def test_the_layers_of_this_user_are_found(runtime, tmp_path):
    first, second = make_layer(runtime / "first"), make_layer(runtime / "second")
    elsewhere = make_layer(tmp_path / "elsewhere" / runtime.name / "third")
    (runtime / "not-a-layer").mkdir()
    found = [path for path in known_directories() if tmp_path in path.parents]
    assert found == [first, second, elsewhere]


def test_a_directory_that_is_not_there_has_no_layer_and_is_not_made(tmp_path):
    assert not has_layer(tmp_path / "missing")
    assert not has_layer(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_an_earlier_boot_left_is_no_layer(tmp_path):
    path = make_layer(tmp_path / "ipc")
    assert has_layer(path)
    (path / MARKER).write_text("1 another-boot 65536\n")
    assert not has_layer(path)


def test_a_layer_of_another_version_is_one(tmp_path):
    """Whoever opens it is told what is wrong."""
    path = make_layer(tmp_path / "ipc")
    (path / MARKER).write_text("99 whatever\n")
    assert has_layer(path)


def test_the_other_processes_are_told_by_their_ids(tmp_path):
    with contextlib.closing(IpcLayer(tmp_path / "ipc")) as layer:
        assert layer.describe()["processes"] == []
        code = (
            "import sys; from wsgi_bridge.layers.ipc import IpcLayer\n"
            "layer = IpcLayer(sys.argv[1]); layer.receive(['a']); print('ready', flush=True)\n"
            "sys.stdin.read()"
        )
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "ipc")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with child:
            assert child.stdout.readline() == b"ready\n"
            assert layer.describe()["processes"] == [child.pid]
            child.kill()
            child.wait()
            assert layer.describe()["processes"] == []


def test_who_looked_leaves_nothing_behind(tmp_path):
    path = make_layer(tmp_path / "ipc")
    before = sorted(each.name for each in path.iterdir())
    with contextlib.closing(IpcLayer(path)) as looker:
        looker.statistics_by_channel()
        looker.statistics_by_group()
        looker.global_statistics()
        assert looker.describe()["directory"] == str(path)
    assert sorted(each.name for each in path.iterdir()) == before
    with contextlib.closing(IpcLayer(path)) as layer:
        assert layer.receive(["a"]) == ("a", {})


def test_many_memberships_that_are_over_are_ended_in_batches(tmp_path):
    clock = ManualClock()
    with contextlib.closing(IpcLayer(tmp_path / "ipc", clock=clock, group_expiry=60)) as layer:
        for number in range(300):
            layer.group_add(f"user-{number}", f"p!{number}")
        clock.advance(30)
        layer.group_add("user-7", "p!7")
        clock.advance(31)
        assert layer.statistics_by_group() == {"user-7": {"members_count": 1, "readers_count": 1}}
