"""The builds of uWSGI there are, and the front ends and workers that each can have.

    UWSGI            a binary of PyPI's uwsgi, for this interpreter (`uwsgi_servers`)
    UWSGI_PYUWSGI    one of pyuwsgi, which has neither TLS nor plugins
    /usr/bin/uwsgi   Debian's, whose Python is the system's: where that is of our version

What is named and not there fails; what nobody names is skipped, in CI it fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.servers import ROOT
from tests.integration.uwsgi_servers import VARIABLE, find_uwsgi, skip_or_fail

DEBIAN = Path("/usr/bin/uwsgi")
PLUGINS = Path("/usr/lib/uwsgi/plugins")
NEEDED = ("python3_plugin.so", "gevent_python3_plugin.so")
BUILDS = ("uwsgi", "pyuwsgi", "debian")
MODES = ("sync", "threads", "gevent")

_OPTIONS = {
    "sync": {"processes": "2"},
    "threads": {"processes": "2", "threads": "4"},
    "gevent": {"processes": "2", "gevent": "50"},
}


@dataclass(frozen=True)
class Build:
    """A binary, and what it needs to be told. ``env``: variables; ``plugins``: of Debian's."""

    name: str
    binary: str
    has_tls: bool = True
    env: dict[str, str] = field(default_factory=dict)
    plugins: bool = False

    def options(self, mode: str) -> dict[str, str]:
        """Return the lines of ini for workers of a kind."""
        found = dict(_OPTIONS[mode])
        if self.plugins:
            names = ["http", "python3", *(["gevent_python3"] if mode == "gevent" else [])]
            found |= {"plugin": ",".join(names), "venv": "", "pythonpath": self.env["PYTHONPATH"]}
        return found


def find_build(name: str) -> Build:
    """Return a build; skip the test if there is none."""
    if name == "uwsgi":
        return Build(name, find_uwsgi())
    if name == "pyuwsgi":
        binary = os.environ.get(f"{VARIABLE}_PYUWSGI")
        if not binary:
            skip_or_fail(f"there is no pyuwsgi: set {VARIABLE}_PYUWSGI, or run `make test-uwsgi`")
        assert Path(binary).is_file(), f"{VARIABLE}_PYUWSGI is {binary!r}, which is no file"
        return Build(name, binary, has_tls=False)
    if not all((PLUGINS / each).exists() for each in NEEDED) or not _is_ours("/usr/bin/python3"):
        skip_or_fail("there is no uwsgi of Debian's for this version of Python")
    places = f"{ROOT}:{sysconfig.get_path('purelib')}"
    return Build(name, str(DEBIAN), env={"PYTHONPATH": places}, plugins=True)


def _is_ours(python: str) -> bool:
    """Whether an interpreter is of our minor version, and so can import what is compiled for it."""
    command = [python, "-c", "import sys; print(*sys.version_info[:2])"]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return found.split() == [str(number) for number in sys.version_info[:2]]
