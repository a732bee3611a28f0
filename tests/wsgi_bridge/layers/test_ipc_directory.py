"""The directory of the ipc layer: where it is, and what is refused with which words."""

import os
import stat
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from wsgi_bridge.exceptions import ChannelFull, ChannelLayerUnavailable, InvalidLayerURL
from wsgi_bridge.layers import open_layer
from wsgi_bridge.layers.ipc import IpcLayer, directory
from wsgi_bridge.layers.ipc.directory import find_directory


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ipc"


def use(path, **options):
    layer = IpcLayer(path, **options)
    try:
        layer.send("a", {})
        return layer.receive(["a"])
    finally:
        layer.close()


class TestNames:
    def test_a_name_is_in_the_runtime_directory(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        layer = open_layer("ipc://my-site")
        assert layer.directory == tmp_path / f"wsgi-bridge-{os.geteuid()}" / "my-site"
        layer.send("a", {})
        assert stat.S_IMODE(layer.directory.stat().st_mode) == 0o700
        assert stat.S_IMODE(layer.directory.parent.stat().st_mode) == 0o700
        layer.close()

    def test_without_one_it_is_in_shared_memory_or_the_temporary_directory(self, monkeypatch):
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
        assert find_directory("site", "").parent.parent == Path(base)

    def test_a_path_is_that_very_directory(self, path):
        assert open_layer(f"ipc://{path}?map_size=2000000").directory == path

    @pytest.mark.parametrize("url", ["ipc://", "ipc://a/b", "ipc://..", "ipc://a%20b", "ipc:///"])
    def test_other_urls_are_refused(self, url):
        with pytest.raises(InvalidLayerURL, match="expected ipc://NAME"):
            IpcLayer.from_url(urlsplit(url))


class TestLeftBehind:
    def test_what_no_process_uses_is_removed_and_nothing_else(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        for name in ("gunicorn-1", "gunicorn-2", "gunicorn-3", "site"):
            use(find_directory(name, ""))
        # Held by another process: locks do not conflict within one.
        child = textwrap.dedent("""
            from wsgi_bridge.layers import open_layer
            layer = open_layer("ipc://gunicorn-2")
            layer.send("a", {})
            print("ready", flush=True)
            input()
        """)
        with subprocess.Popen(
            [sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout.readline() == "ready\n"
            assert directory.remove_abandoned("gunicorn-*", own="gunicorn-3") == ["gunicorn-1"]
            left = sorted(path.name for path in find_directory("site", "").parent.iterdir())
            assert left == ["gunicorn-2", "gunicorn-3", "site"]
            process.communicate("\n")
        assert directory.remove_abandoned("gunicorn-*", own="") == ["gunicorn-2", "gunicorn-3"]


class TestRefusals:
    """Each names the path, and says what to do."""

    def refused(self, path, match):
        with pytest.raises(ChannelLayerUnavailable, match=match) as caught:
            use(path)
        assert str(path) in str(caught.value)

    def test_a_directory_open_to_others(self, path):
        path.mkdir(mode=0o755)
        self.refused(path, "chmod 700")

    def test_a_directory_of_another_user(self, path, monkeypatch):
        path.mkdir(mode=0o700)
        monkeypatch.setattr(directory.os, "geteuid", lambda: 12345)
        self.refused(path, "run both as one user")

    def test_a_directory_with_other_files_is_left_alone(self, path):
        path.mkdir(mode=0o700)
        (path / "data").write_text("mine")
        self.refused(path, "of its own")
        assert os.listdir(path) == ["data"]

    def test_a_file_or_a_link(self, path):
        path.write_text("")
        self.refused(path, "not a directory")
        path.unlink()
        path.symlink_to(path.parent)
        self.refused(path, "not a directory")

    def test_another_version(self, path):
        use(path)
        (path / "wsgi-bridge-ipc").write_text("99 boot 65536\n")
        self.refused(path, "another version")

    def test_damaged_data(self, path):
        use(path)
        (path / "data").write_bytes(b"\xff" * 65536)
        self.refused(path, "remove it")

    def test_a_parent_that_does_not_exist(self, path):
        self.refused(path / "deeper", "No such file")


class TestReuse:
    def test_messages_wait_while_no_process_runs(self, path):
        layer = IpcLayer(path)
        layer.send("a", {"n": 1})
        layer.close()
        layer = IpcLayer(path)
        assert layer.receive(["a"]) == ("a", {"n": 1})
        layer.close()

    def test_what_an_earlier_boot_left_is_removed(self, path):
        layer = IpcLayer(path)
        layer.send("a", {"n": 1})
        layer.close()
        (path / "wsgi-bridge-ipc").write_text("1 an-earlier-boot 1048576\n")
        (path / "data").write_bytes(b"\xff" * 65536)  # it may be anything
        assert use(path) == ("a", {})

    def test_one_that_was_killed_in_the_middle_of_making_it_is_made_again(self, path):
        use(path)
        (path / "wsgi-bridge-ipc").unlink()
        assert use(path) == ("a", {})

    def test_a_directory_removed_under_its_users_is_told(self, path):
        layer = IpcLayer(path)
        layer.send("a", {})
        (path / "data").unlink()
        with pytest.raises(ChannelLayerUnavailable, match="was removed"):
            layer.receive(["b"], True, 10)
        layer.close()

    def test_a_path_longer_than_a_sockets_may_be(self, tmp_path):
        path = tmp_path
        for _ in range(3):
            path = path / ("d" * 60)
            path.mkdir(mode=0o700)
        layer = IpcLayer(path)
        with layer.listen(["a"], int):
            assert [name for name in os.listdir(path) if name.endswith(".sock")]
        layer.close()


class TestFullMap:
    def test_it_is_channel_full_and_passes_when_messages_are_taken(self, path):
        layer = IpcLayer(path, map_size=1 << 20, capacity=100_000)
        for size in (100, 3000, 50_000, 1000):
            sent = 0
            with pytest.raises(ChannelFull):
                while True:
                    layer.send("a", {"data": b"x" * size})
                    sent += 1
            assert sent * size > 300_000
            received = 0
            while batch := layer.receive_many(["a"], 50):
                received += len(batch)
            assert received == sent
        layer.close()

    def test_a_group_message_is_lost_and_counted(self, path):
        layer = IpcLayer(path, map_size=1 << 20, capacity=100_000)
        for name in ("a", "p!x", "p!y"):
            layer.group_add("group", name)
        with pytest.raises(ChannelFull):
            while True:
                layer.send("b", {"data": b"x" * 5000})
        layer.send_group("group", {"data": b"x" * 100_000})
        assert layer.global_statistics()["group_messages_lost_count"] == 3
        assert layer.receive(["b"])[0] == "b"
        layer.close()

    def test_the_map_is_half_of_what_is_free_in_a_small_file_system(self, path, monkeypatch):
        small = os.statvfs_result((4096, 4096, 16384, 16384, 16384, 0, 0, 0, 0, 255))
        monkeypatch.setattr(directory.os, "statvfs", lambda path: small)
        use(path)
        assert (path / "wsgi-bridge-ipc").read_text().split()[2] == str(32 * 1024 * 1024)

    def test_no_room_at_all_is_told_at_once(self, path, monkeypatch):
        tiny = os.statvfs_result((4096, 4096, 100, 100, 100, 0, 0, 0, 0, 255))
        monkeypatch.setattr(directory.os, "statvfs", lambda path: tiny)
        with pytest.raises(ChannelLayerUnavailable, match="larger shared memory"):
            use(path)
