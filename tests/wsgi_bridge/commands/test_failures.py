"""What cannot be done is one line on stderr, a status, and never a traceback or a password."""

import contextlib
import json
import os
import socket
import sys

import pytest

from tests.wsgi_bridge.commands.rig import run
from wsgi_bridge.commands import main, opening
from wsgi_bridge.commands.errors import without_passwords
from wsgi_bridge.layers import open_layer

ACTIONS = (["stats"], ["channels"], ["groups"], ["groups", "a"], ["flush", "--yes"], ["ping"])


def make_layer(url):
    """Leave a layer behind with a message in it."""
    with contextlib.closing(open_layer(url)) as layer:
        layer.send("a", {})


@pytest.fixture
def fail(capsys, monkeypatch):
    """Return a function that runs a command and returns its status and its only line."""
    monkeypatch.delenv("CHANNEL_LAYER", raising=False)

    def fail(*words):
        try:
            status = main(words)
        except SystemExit as exc:
            status = exc.code
        shown = capsys.readouterr()
        assert shown.out == ""
        *usage, line = shown.err.splitlines()
        assert not usage or usage[0].startswith("usage: ")
        return status, line

    return fail


@pytest.fixture
def dead_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # and never listens
        yield sock.getsockname()[1]


def test_a_dead_redis_is_one_line_and_status_1(dead_port):
    done = run("layer", f"redis://user:s3cret@127.0.0.1:{dead_port}", "stats")
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"wsgi-bridge: redis://127.0.0.1:{dead_port} is unavailable: ")


@pytest.mark.parametrize("words", ACTIONS, ids=" ".join)
def test_whatever_is_asked_of_a_dead_redis_is_told_so(fail, words, dead_port):
    status, line = fail("layer", f"redis://user:s3cret@127.0.0.1:{dead_port}", *words)
    assert status == 1
    assert line.startswith(f"wsgi-bridge: redis://127.0.0.1:{dead_port} is unavailable: ")
    assert "see that the server runs" in line
    assert "s3cret" not in line


@pytest.mark.parametrize("words", ACTIONS, ids=" ".join)
def test_a_mistyped_ipc_name_makes_nothing(fail, words, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    make_layer("ipc://mysite")
    before = sorted(tmp_path.rglob("*"))
    status, line = fail("layer", "ipc://mysiet", *words)
    assert status == 1
    assert "there is no ipc layer in" in line
    assert "ipc://mysite" in line
    assert "only by the user" in line
    assert sorted(tmp_path.rglob("*")) == before


def test_a_path_without_a_layer_stays_as_it_is(fail, tmp_path):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path, tmp_path / "missing", tmp_path / "file"):
        status, line = fail("layer", f"ipc://{path}", "stats")
        assert (status, "there is no ipc layer" in line) == (1, True)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_directory_of_another_user_says_who_may_look(fail, monkeypatch, tmp_path):
    def has_layer(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("wsgi_bridge.layers.ipc.directory.has_layer", has_layer)
    monkeypatch.setattr(opening, "urls_of_ipc", list)
    status, line = fail("layer", f"ipc://{tmp_path}", "stats")
    assert status == 1
    assert "Permission denied" in line
    assert "run this as the user of the site" in line


def test_a_layer_of_another_version_says_what_to_do(fail, tmp_path):
    url = f"ipc://{tmp_path}/layer"
    make_layer(url)
    (tmp_path / "layer" / "wsgi-bridge-ipc").write_text("99 x\n")
    status, line = fail("layer", url, "stats")
    assert (status, "another version" in line) == (1, True)


def test_a_layer_that_cannot_be_used_is_listed_with_the_reason(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for name in ("usable", "foreign"):
        make_layer(f"ipc://{name}")
    foreign = tmp_path / f"wsgi-bridge-{os.geteuid()}" / "foreign"
    (foreign / "wsgi-bridge-ipc").write_text("99 x\n")
    assert main(["layer", "ipc://", "--json"]) == 0
    listed = {each["layer"]: each for each in json.loads(capsys.readouterr().out)}
    assert listed["ipc://usable"]["messages_pending"] == 1
    assert "another version" in listed["ipc://foreign"]["error"]
    assert main(["layer", "ipc://"]) == 0
    assert "another version" in capsys.readouterr().out


def test_a_layer_is_listed_by_its_path_where_a_name_does_not_mean_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    make_layer("ipc://named")
    odd = tmp_path / f"wsgi-bridge-{os.geteuid()}" / "odd name"
    make_layer(f"ipc://{odd}")
    assert opening.urls_of_ipc()[:2] == ["ipc://named", f"ipc://{odd.parent}/odd%20name"]
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert f"ipc://{odd.parent}/named" in opening.urls_of_ipc()


def test_a_layer_without_room_is_told_so(fail, tmp_path):
    url = f"ipc://{tmp_path}/layer"
    make_layer(url)
    status, line = fail("layer", f"{url}?capacity=0", "ping")
    assert (status, "takes no message" in line) == (1, True)


def test_redis_is_looked_at_without_the_library_of_ipc(dead_port):
    code = (
        "import sys; sys.modules['lmdb'] = None\n"
        "from wsgi_bridge.commands import main; sys.exit(main())"
    )
    url = f"redis://127.0.0.1:{dead_port}"
    done = run("layer", url, "stats", command=(sys.executable, "-c", code))
    assert done.stderr.startswith(f"wsgi-bridge: {url} is unavailable")


def test_a_memory_layer_cannot_be_looked_at(fail):
    for words in ACTIONS:
        status, line = fail("layer", "memory://", *words)
        assert status == 2
        assert "lives in one process" in line


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis", "unknown channel layer"),
        ("reddis://user:s3cret@host", "unknown channel layer 'reddis'"),
        ("user:s3cret@host", "behind the hosts"),
        ("s3cret@host", "behind the hosts"),
        ("redis://user:s3cret/x@host", "%2F"),
        ("redis://user:s3cret#x@host", "%23"),
        ("redis://user:s3cret?x@host", "cannot be read"),
        ("redis://user:12?s3cret@host", "cannot be read"),
        ("redis+unix://user:s3cret/x@/run/a.sock", "behind the hosts"),
        ("redis://user:s3cret@host:port", "HOST:PORT"),
        ("redis://user:s3cret@host/?color=red", "unknown option 'color'"),
        ("redis://user:s3cret@host/?capacity=many", "capacity"),
        ("redis://[::1", "no URL"),
        ("ipc://a/b", "expected ipc://NAME"),
        ("ipc://mysite?color=red", "unknown option 'color'"),
    ],
)
def test_a_bad_url_is_told_without_its_password(fail, url, message):
    status, line = fail("layer", url, "stats")
    assert message in line
    assert "s3cret" not in line
    assert status == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "COMMAND"),
        (["layer"], "no layer is named"),
        (["layer", "stats"], "no layer is named"),
        (["layer", "groups", "chat"], "no layer is named"),
        (["layer", "ipc://x", "stat"], "invalid choice"),
        (["layer", "ipc://", "channels"], "names no layer"),
        (["layer", "ipc://", "stats", "--channel", "a"], "names no layer"),
        (["layer", "stats", "redis://user:s3cret@host"], "unrecognized"),
        (["layer", "ipc://x", "stats", "--watch", "0"], "more than 0"),
        (["layer", "ipc://x", "stats", "--watch", "soon"], "--watch"),
        (["layer", "ipc://x", "ping", "--count", "0"], "1 or more"),
        (["layer", "ipc://x", "channels", "--limit", "-1"], "--limit"),
        (["layer", "ipc://x", "flush"], "--yes"),
    ],
    ids=" ".join,
)
def test_a_misused_command_is_status_2(fail, words, message, monkeypatch):
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: SIM115
    status, line = fail(*words)
    assert (status, message in line) == (2, True), line
    assert "s3cret" not in line


def test_a_bad_name_of_a_channel_or_group_is_status_2(fail, tmp_path):
    make_layer(f"ipc://{tmp_path}/layer")
    for words in (["stats", "--channel", "a b"], ["groups", "a!b"]):
        status, line = fail("layer", f"ipc://{tmp_path}/layer", *words)
        assert (status, "is not a" in line) == (2, True)


@pytest.mark.parametrize(
    ("library", "url", "cure"),
    [
        ("redis", "redis://host", "pip install wsgi-bridge[redis]"),
        (
            *("cryptography", "redis://host?symmetric_encryption_keys=s3cret"),
            "pip install wsgi-bridge[crypto]",
        ),
    ],
)
def test_a_library_that_is_missing_is_told_with_its_cure(library, url, cure):
    code = (
        f"import sys; sys.modules[{library!r}] = sys.modules['{library}.fernet'] = None\n"
        "from wsgi_bridge.commands import main; sys.exit(main())"
    )
    done = run("layer", url, "stats", command=(sys.executable, "-c", code))
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert cure in line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bad: redis://u:p@h/0, see", "bad: redis://***@h/0, see"),
        ("redis://u:p@q@h", "redis://***@h"),
        ("redis://h/0 is a@b", "redis://h/0 is a@b"),
    ],
)
def test_passwords_are_hidden_in_any_text(text, expected):
    assert without_passwords(text) == expected
