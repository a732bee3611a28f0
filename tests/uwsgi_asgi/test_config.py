"""The fragment that a site's configuration includes."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

from uwsgi_asgi.config import main
from uwsgi_asgi.fragment import BACKLOG, find_backlog, make_fragment
from uwsgi_asgi.options import Options, load_options


def lines_of(text):
    return [line for line in text.splitlines() if line and not line.startswith((";", "["))]


def test_every_line_is_explained():
    blocks = make_fragment(Options(), prefixes=["/ws"]).split("\n\n")
    assert len(blocks) > 8
    for block in blocks:
        assert block.startswith("; ")
        assert not any(line.startswith(";") for line in block.splitlines()[2:] if "[" not in block)


def test_what_the_site_may_say_itself_is_guarded():
    lines = lines_of(make_fragment(Options()))
    names = ("master", "enable-threads", "single-interpreter", "buffer-size", "chunked-input-limit")
    for name in names:
        at = lines.index(f"if-not-opt = {name}")
        assert lines[at + 1].startswith(f"{name} = ")
        assert lines[at + 2] == "endif ="


def test_mules_are_files_that_are_there(capsys):
    assert main(["--consumers", "3", "--terminators", "2"]) == 0
    mules = [line.split(" = ")[1] for line in capsys.readouterr().out.splitlines()
             if line.startswith("mule = ")]  # fmt: skip
    assert [Path(mule).name for mule in mules] == ["terminator.py"] * 2 + ["consumer.py"] * 3
    assert all(Path(mule).is_absolute() and Path(mule).is_file() for mule in mules)


def test_a_prefix_is_mounted_and_the_module_left_alone(capsys):
    main(["--prefix", "/ws", "--prefix", "/live/x"])
    lines = lines_of(capsys.readouterr().out)
    mounts = [line.split("=", 2)[1:] for line in lines if line.startswith("mount")]
    assert [prefix.strip() for prefix, _ in mounts] == ["/ws", "/live/x"]
    assert all(Path(file).is_file() for _, file in mounts)
    assert "manage-script-name = true" in lines
    assert not any(line.startswith("module") for line in lines)


def test_the_processes_are_told_the_options(capsys):
    arguments = ["--app", "mysite.realtime:app", "--threads", "3", "--max-connections", "50",
                 "--consumers", "2", "--graceful-timeout", "1.5"]  # fmt: skip
    main(arguments)
    told = dict(
        line.removeprefix("env = ").split("=", 1)
        for line in lines_of(capsys.readouterr().out)
        if line.startswith("env = ")
    )
    expected = Options(
        app="mysite.realtime:app", threads=3, max_connections=50, consumers=2, graceful_timeout=1.5
    )
    assert load_options(told) == expected


def test_a_layer_is_named_only_if_it_was(capsys):
    main(["--layer", "redis://localhost"])
    assert "env = CHANNEL_LAYER=redis://localhost\n" in capsys.readouterr().out
    main([])
    assert "CHANNEL_LAYER" not in capsys.readouterr().out


def test_a_line_that_uwsgi_has_cut_at_the_colon_is_read_all_the_same(capsys):
    # `… --app mysite.realtime:application` without `:uwsgi`
    main(["--app", "mysite.realtime"])
    text = capsys.readouterr().out
    first, second = text.split("[uwsgi]")[1].split("[application]")
    assert lines_of(first)[:5] == lines_of(second)[:5]


@pytest.mark.parametrize(
    "arguments",
    [["--app", "my site"], ["--consumers", "-1"], ["--threads", "0"], ["--prefix", "ws"], ["--x"]],
)
def test_what_is_wrong_ends_uwsgi_with_a_sentence(arguments, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    parser = configparser.ConfigParser()
    parser.read_string(capsys.readouterr().out)
    assert parser["uwsgi"]["exit"]
    assert parser["uwsgi"]["print"].startswith("python -m uwsgi_asgi.config: ")


def test_it_is_a_command():
    command = [sys.executable, "-m", "uwsgi_asgi.config"]
    assert "[uwsgi]" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(("name", "text"), [("THREADS", "many"), ("GRACEFUL_TIMEOUT", "x")])
def test_a_variable_that_is_no_number_is_named(name, text):
    with pytest.raises(ValueError, match=f"UWSGI_ASGI_{name} is '{text}'"):
        load_options({f"UWSGI_ASGI_{name}": text})


@pytest.mark.parametrize(
    ("text", "backlog"), [("4096\n", BACKLOG), ("128\n", 128), ("none", 0), (None, 0)]
)
def test_no_more_wait_than_the_system_allows(tmp_path, text, backlog):
    file = tmp_path / "somaxconn"
    if text is not None:
        file.write_text(text)
    assert find_backlog(str(file)) == backlog
