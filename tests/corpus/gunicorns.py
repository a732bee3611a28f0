"""gunicorn's corpus of requests: `tests/requests` of its source distribution, fetched by pip.

Each file is a connection's bytes; beside it a Python file says with which settings it is read, and
what must come of it. The distribution is kept in the user's cache. Where it cannot be had the tests
are skipped; in CI that is a failure.
"""

from __future__ import annotations

import builtins
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

# Of one release, whichever gunicorn is installed: the rules were tightened in each.
RELEASE = "gunicorn-27.0.1"
FOLDER = f"{RELEASE}/tests/requests"
# How many files there are: if fewer are found the distribution is not what we think.
VALID, INVALID = 62, 81
# A Content-Length that promises more than the file has, which gunicorn's test does not notice. An
# incomplete message is not served (RFC 9112 section 8), so what is promised is put right.
SHORT = {"valid/099": (b"17914", b"8599")}


@dataclass
class Sample:
    """One file: bytes, gunicorn's settings, and for a valid one the requests that it is."""

    name: str
    data: bytes
    settings: dict[str, Any]
    requests: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_valid(self) -> bool:
        return self.name.startswith("valid/")


def cache() -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "wsgi-bridge-tests"


def fetch() -> Path:
    """Return the source distribution, downloaded if need be. Skips, or fails in CI, without it."""
    path = cache() / f"{RELEASE}.tar.gz"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--no-binary", "gunicorn", "--dest", folder, RELEASE.replace("-", "==")]
        pip = subprocess.run(command, capture_output=True, text=True, check=False)
        if pip.returncode:
            missing = f"{RELEASE} cannot be downloaded: {pip.stderr[-300:]}"
            if os.environ.get("CI") == "true":
                pytest.fail(missing)
            pytest.skip(missing)
        os.replace(Path(folder) / path.name, path)  # at once: others may be downloading too
    return path


def load_corpus() -> list[Sample]:
    """Return every file of the corpus, in the order of their names."""
    with tarfile.open(fetch()) as archive:
        names = sorted(name for name in archive.getnames() if name.endswith(".http"))
        samples = [_load(archive, name) for name in names if name.startswith(FOLDER)]
    assert sum(sample.is_valid for sample in samples) == VALID
    assert len(samples) == VALID + INVALID
    return samples


def _load(archive: tarfile.TarFile, path: str) -> Sample:
    name = path.removeprefix(FOLDER + "/").removesuffix(".http")
    sidecar = _Sidecar()
    code = _read(archive, path.removesuffix(".http") + ".py")
    exec(re.sub(rb"(?m)^from gunicorn.*", b"", code), {}, sidecar)
    data = _decode(_read(archive, path))
    requests = sidecar["request"] if name.startswith("valid/") else []
    if not isinstance(requests, list):
        requests = [requests]
    old, new = SHORT.get(name, (b"", b""))
    if old:
        data = data.replace(old, new, 1)
        headers = requests[0]["headers"]
        headers[:] = [(n, v.replace(old.decode(), new.decode())) for n, v in headers]
    return Sample(name, data, sidecar.settings, requests)


def usable(samples: list[Sample], known: Container[str]) -> list[Sample]:
    """Return the samples that need no settings but ``known`` ones, those of an old gunicorn."""
    return [sample for sample in samples if all(name in known for name in sample.settings)]


def _read(archive: tarfile.TarFile, path: str) -> bytes:
    member = archive.extractfile(path)
    assert member is not None
    return member.read()


def _decode(text: bytes) -> bytes:
    """Return the bytes that a file writes with escapes; its own line ends count for nothing."""
    named = {b"\\r": b"\r", b"\\n": b"\n", b"\\t": b"\t", b"\\0": b"\0"}

    def decode(match: re.Match[bytes]) -> bytes:
        return named.get(match[0]) or bytes.fromhex(match[0][2:].decode())

    return re.sub(rb"\\x[0-9A-Fa-f]{2}|\\[rnt0]", decode, text.replace(b"\n", b""))


class _Sidecar(dict[str, Any]):
    """The names of a sidecar. gunicorn's errors, which only some have, stand for themselves."""

    def __init__(self) -> None:
        super().__init__(uri=_uri, Config=lambda: self)
        self.settings: dict[str, Any] = {}

    def __missing__(self, name: str) -> Any:
        if hasattr(builtins, name):
            raise KeyError(name)
        return name

    def set(self, name: str, value: Any) -> None:
        """What a sidecar calls on its `Config()`."""
        self.settings[name] = value


def _uri(target: str) -> dict[str, str]:
    # What begins with two slashes is a path all the same (RFC 9112 section 3.2.1).
    parts = urlsplit("http://a" + target if target.startswith("/") else target)
    return {"raw": target, "path": parts.path, "query": parts.query}


def expected_environ(request: dict[str, Any]) -> dict[str, str]:
    """Return what of the environ a sidecar says."""
    major, minor = request["version"]
    environ = {
        "REQUEST_METHOD": request["method"],
        "SERVER_PROTOCOL": f"HTTP/{major}.{minor}",
        "RAW_URI": request["uri"]["raw"].partition("#")[0],
        "PATH_INFO": request["uri"]["path"],
        "QUERY_STRING": request["uri"]["query"],
    }
    if request["method"] == "CONNECT":
        environ.update(PATH_INFO="", QUERY_STRING="")
    elif "://" in environ["RAW_URI"]:  # only its path reaches an app
        del environ["RAW_URI"]
    for name, value in request["headers"]:
        key = name.replace("-", "_")
        key = key if name in ("CONTENT-TYPE", "CONTENT-LENGTH") else "HTTP_" + key
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ


def relevant_environ(environ: dict[str, Any], expected: dict[str, str]) -> dict[str, str]:
    """Return what of an environ a sidecar speaks of: also fields that it does not know."""
    fields = {name: text for name, text in environ.items() if name.startswith("HTTP_")}
    return {**fields, **{name: environ[name] for name in expected if name in environ}}


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    """Cut ``data``."""
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        yield data[start:end]
