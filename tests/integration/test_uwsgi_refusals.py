"""A uWSGI that could not hand over does not start, and says what to do."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.integration.certificates import Authority
from tests.integration.servers import HELLO, ROOT
from tests.integration.uwsgi_servers import find_uwsgi, make_ini

pytestmark = pytest.mark.integration


def start(folder, options, *, config=(), behind=""):
    """Start uWSGI, which ends by itself; return its exit status and what it wrote."""
    text = make_ini(HELLO, config, {"http-socket": "127.0.0.1:0", **options}, folder)
    ini = folder / "site.ini"
    ini.write_text(text + behind)
    done = subprocess.run(
        [find_uwsgi(), "--ini", str(ini)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("options", "config", "behind", "advice"),
    [
        ({"http11-socket": "127.0.0.1:0", "gevent": "10"}, [], "", "use http-socket"),
        ({}, [], "http = 127.0.0.1:0\n", "set http-websockets = true"),
        ({}, ["--layer", "memory://"], "", "ipc://mysite or redis://localhost"),
        ({}, ["--threads", "none"], "", "expected 1 or more, not none"),
        ({}, ["--listen", "/nowhere/asgi.sock"], "", "--listen /nowhere/asgi.sock: "),
    ],
)
def test_what_cannot_work_ends_with_a_sentence(tmp_path, options, config, behind, advice):
    status, log = start(tmp_path, options, config=config, behind=behind)
    assert status != 0
    assert advice in log
    assert "Traceback" not in log


def test_tls_that_a_worker_ends_is_refused(tmp_path):
    certificate, key = Authority(tmp_path).issue("site")
    status, log = start(tmp_path, {"https-socket": f"127.0.0.1:0,{certificate},{key}"})
    assert status != 0
    assert "uwsgi_asgi: https-socket ends TLS in the worker" in log


def test_a_printed_fragment_without_its_guards_is_checked_all_the_same(tmp_path):
    fragment = subprocess.run(
        [sys.executable, "-m", "uwsgi_asgi.config"], cwd=ROOT, capture_output=True, text=True,
        check=True,
    ).stdout  # fmt: skip
    (tmp_path / "printed.ini").write_text(fragment.replace("single-interpreter = true", ""))
    ini = tmp_path / "site.ini"
    ini.write_text(f"""\
[uwsgi]
http-socket = 127.0.0.1:0
module = {HELLO}
pythonpath = {ROOT}
venv = {sys.prefix}
ini = {tmp_path}/printed.ini
""")
    done = subprocess.run(
        [find_uwsgi(), "--ini", str(ini)], capture_output=True, timeout=30, check=False, cwd=ROOT
    )
    assert done.returncode != 0
    assert b"set single-interpreter = true" in done.stdout + done.stderr
