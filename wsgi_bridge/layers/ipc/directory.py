"""The private directory of an ipc layer: where it is, who may use it, how large its map is.

    wsgi-bridge-ipc   the marker: version of the format, boot of the machine, size of the map
    setup.lock        held (flock) while the directory is made ready and the store is opened
    processes.lock    one byte for each process, locked by it as long as it lives
    data, data-lock   LMDB's; the data grow in steps, up to the size of the map
    N.sock            where the process at place N is woken

The directory belongs to one user and is closed to all others (0700), because whoever can write
there can send any message. What is not ours is refused and never touched. What an earlier boot of
the machine left is removed: LMDB is told not to sync, so after a power failure it may be anything.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from wsgi_bridge.exceptions import ChannelLayerUnavailable, InvalidLayerURL

__all__ = [
    "MAX_READERS",
    "Directory",
    "find_directory",
    "has_layer",
    "known_directories",
    "remove_abandoned",
]

MARKER = "wsgi-bridge-ipc"
PROCESSES_LOCK = "processes.lock"
SETUP_LOCK = "setup.lock"

#: Version of what is in the directory. A process of another version is refused.
FORMAT = 1

#: Bytes that the queues may take. Not reserved: the file grows with what waits.
#: 1 GB is more than any queue of messages should hold, and nothing in a 64-bit address space.
MAP_SIZE = 1024 * 1024 * 1024

#: Part of the free space that the map may take at most; the rest is left to others, and to the
#: locks of LMDB. A container's /dev/shm has 64 MB, and so a map of 32 MB.
SHARE_OF_FREE = 0.5

#: Bytes under which a layer is no use: some hundred messages.
MIN_MAP_SIZE = 1024 * 1024

#: Transactions that may read at one time: more than there are processes and threads in them.
MAX_READERS = 1024

#: LMDB's bytes for one reader, a cache line, and those of its lock file's head, at most.
_READER_SIZE = 64
_LOCK_HEAD_SIZE = 8192

_match_name = re.compile(r"[a-zA-Z0-9_\-][a-zA-Z0-9._\-]{0,63}").fullmatch


def find_directory(name: str, path: str) -> Path:
    """Return the directory of `ipc://NAME` or `ipc:///path`; nothing is created.

    Raises InvalidLayerURL.
    """
    if path.strip("/") and not name:
        return Path(path)
    if path.strip("/") or not _match_name(name):
        raise InvalidLayerURL(
            f"{'ipc://' + name + path!r}: expected ipc://NAME of letters, digits, '.', '-', '_', "
            "or ipc:///path/of/a/directory"
        )
    return _base() / f"wsgi-bridge-{os.geteuid()}" / name


def has_layer(path: Path) -> bool:
    """Whether a directory has a layer of this boot in it; one of an earlier boot is nothing.

    Touches nothing. Raises PermissionError if another user owns it.
    """
    try:
        parts = (path / MARKER).read_text("ascii", errors="replace").split()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return parts[:1] != [str(FORMAT)] or parts[1:2] == [_boot()]


def known_directories() -> list[Path]:
    """Return the directories of this user's layers that have a name, and of this boot.

    Those too that `ipc://NAME` does not mean here, but in a process whose environment differs.
    """
    bases = dict.fromkeys((_base(), Path(f"/run/user/{os.geteuid()}"), *_bases()))
    found: list[Path] = []
    for base in bases:
        parent = base / f"wsgi-bridge-{os.geteuid()}"
        with contextlib.suppress(OSError):  # not there, or not ours
            found += [path for path in sorted(parent.iterdir()) if has_layer(path)]
    return found


def remove_abandoned(
    pattern: str, own: str, is_kept: Callable[[str], bool] = lambda _: False
) -> list[str]:
    """Remove this user's layers of that kind that no process uses any more; return their names.

    `pattern` is a glob of names; `own` is never touched, nor one of which `is_kept`. A process that
    uses a layer holds a lock in its directory, which other containers on the same file system see.
    """
    found = sorted((_base() / f"wsgi-bridge-{os.geteuid()}").glob(pattern))
    return [
        path.name
        for path in found
        if path.name != own and not is_kept(path.name) and _remove_if_abandoned(path)
    ]


def _remove_if_abandoned(path: Path) -> bool:
    try:
        with open(path / SETUP_LOCK, "r+b") as setup, open(path / PROCESSES_LOCK, "r+b") as file:
            # The first one is for who is about to use it, and has no place yet.
            fcntl.flock(setup, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
    except OSError:
        return False  # in use, just being made, or not ours to judge
    return True


def _base() -> Path:
    """Return the best place for files in memory that only this user may see."""
    for candidate in _bases():
        if os.path.isdir(candidate) and os.access(candidate, os.W_OK | os.X_OK):
            return candidate
    return Path(tempfile.gettempdir())


def _bases() -> list[Path]:
    """Return the places that are thought of, the best first."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    places = ([runtime] if runtime else []) + ["/dev/shm", tempfile.gettempdir()]  # noqa: S108 (checked)
    return [Path(place) for place in places]


class Directory:
    """The directory at `path`, made ready and checked by `prepared`.

    `map_size` is in bytes, for whoever makes the directory; None takes what is free into account.
    """

    def __init__(self, path: Path, map_size: int | None) -> None:
        self.path = path
        self.map_size = map_size or 0
        self._wanted_size = map_size

    @property
    def data(self) -> str:
        """The file of LMDB's data; that of its locks has `-lock` after it."""
        return str(self.path / "data")

    @contextlib.contextmanager
    def prepared(self) -> Iterator[None]:
        """Make the directory ready, and keep other processes from doing so meanwhile.

        Blocks for as long as another process opens it: milliseconds. Raises
        ChannelLayerUnavailable, with the path and the cure.
        """
        try:
            self._create()
        except OSError as exc:
            raise self._unusable(exc) from exc
        with self.locked():
            try:
                self._settle()
                yield
            except OSError as exc:  # it was removed while we waited for the lock, for one
                raise self._unusable(exc) from exc

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from opening the directory, and from changing the file's size."""
        try:
            lock = os.open(self.path / SETUP_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise self._unusable(exc) from exc
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)  # which unlocks

    def reserve(self, size: int) -> None:
        """Have the file system set aside the first `size` bytes of the data; raises OSError.

        Whoever writes by memory access to what is not set aside is ended by SIGBUS when the file
        system is full.
        """
        _reserve(self.data, size)

    def _unusable(self, exc: OSError) -> ChannelLayerUnavailable:
        return ChannelLayerUnavailable(
            f"the ipc layer cannot use {str(self.path)!r}: {exc.strerror}; make that possible, "
            "or name another directory: ipc:///path"
        )

    def _create(self) -> None:
        # By name, the parent is a directory of ours too: /dev/shm belongs to everybody.
        for path in (self.path.parent, self.path):
            if path.name.startswith("wsgi-bridge-") or path == self.path:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(path, 0o700)
                self._check(path)
        names = set(os.listdir(self.path))
        if names and MARKER not in names and SETUP_LOCK not in names:
            raise ChannelLayerUnavailable(
                f"{str(self.path)!r} holds other files than those of an ipc layer: expected a "
                "directory of its own; name one that is empty or does not exist"
            )

    def _check(self, path: Path) -> None:
        """Refuse what another user made, or could change."""
        found = os.lstat(path)
        if not stat.S_ISDIR(found.st_mode):
            raise ChannelLayerUnavailable(
                f"{str(path)!r} is not a directory: remove it, or name another one: ipc:///path"
            )
        if found.st_uid != os.geteuid():
            raise ChannelLayerUnavailable(
                f"{str(path)!r} belongs to the user {found.st_uid}, and this process runs as "
                f"{os.geteuid()}: run both as one user, or name another directory: ipc:///path"
            )
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise ChannelLayerUnavailable(
                f"{str(path)!r} is open to other users (mode {stat.S_IMODE(found.st_mode):04o}), "
                f"who could send messages to this site: chmod 700 {str(path)!r}"
            )

    # The marker.

    def _settle(self) -> None:
        marker = self.path / MARKER
        try:
            text = marker.read_text("ascii", errors="replace")
        except FileNotFoundError:
            text = ""
        if text and self._read_marker(text):
            return
        # New, or of an earlier boot; or its maker was killed before it had written the marker.
        self._clear()
        self.map_size = self._choose_size()
        # LMDB writes to its locks by memory access as well.
        _reserve(self.data + "-lock", _LOCK_HEAD_SIZE + MAX_READERS * _READER_SIZE)
        temporary = self.path / (MARKER + ".new")
        temporary.write_text(f"{FORMAT} {_boot()} {self.map_size}\n")
        temporary.replace(marker)

    def _read_marker(self, text: str) -> bool:
        """Take over what the marker says; False if the files are of an earlier boot."""
        parts = text.split()
        if len(parts) != 3 or parts[0] != str(FORMAT) or not parts[2].isdigit():
            raise ChannelLayerUnavailable(
                f"{str(self.path)!r} was made by another version of wsgi-bridge, or is damaged: "
                "stop the processes that use it and remove it, or name another one: ipc:///path"
            )
        self.map_size = int(parts[2])
        return parts[1] == _boot()

    def _clear(self) -> None:
        for name in os.listdir(self.path):
            if name in ("data", "data-lock", PROCESSES_LOCK) or name.endswith(".sock"):
                (self.path / name).unlink()

    def _choose_size(self) -> int:
        found = os.statvfs(self.path)
        free = int(found.f_bavail * found.f_frsize * SHARE_OF_FREE)
        size = min(self._wanted_size or MAP_SIZE, free)
        if size < MIN_MAP_SIZE:
            raise ChannelLayerUnavailable(
                f"there are {2 * free // 1024} KB left where {str(self.path)!r} is: expected "
                f"{2 * MIN_MAP_SIZE // 1024} or more; free some, give the container a larger "
                "shared memory, or name a directory elsewhere: ipc:///path"
            )
        return size // 65536 * 65536


def _reserve(path: str | Path, size: int) -> None:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(file, 0, size)
    finally:
        os.close(file)


def _boot() -> str:
    """Return what identifies this run of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return "unknown"
