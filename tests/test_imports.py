"""Imports point down only: who may import what, read from the source and not by running it.

    gunicorn_asgi, uwsgi_asgi
        -> wsgi_bridge.server
            -> protocols, layers
                -> names, messages, copying, exceptions, events

An import inside a function counts like one at the top of the file. One under ``if TYPE_CHECKING``
does not: it names a type and brings nothing in.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("gunicorn_asgi", "uwsgi_asgi", "wsgi_bridge")

# What may be imported only by the modules named, and by what is in them.
ONLY = {
    "gunicorn": ("gunicorn_asgi",),
    "gunicorn_asgi": ("gunicorn_asgi",),
    "uwsgi": ("uwsgi_asgi",),
    "uwsgidecorators": ("uwsgi_asgi",),
    "uwsgi_asgi": ("uwsgi_asgi",),
    "gevent": ("wsgi_bridge.server", "gunicorn_asgi", "uwsgi_asgi"),
    "prometheus_client": ("wsgi_bridge.figures.prometheus",),
    "pytest": ("wsgi_bridge.testing.pytest_plugin",),
    "redis": ("wsgi_bridge.layers.redis",),
    "rich": ("wsgi_bridge.commands",),
    "lmdb": ("wsgi_bridge.layers.ipc",),
    "flask": ("wsgi_bridge.contrib.flask",),
    "django": ("wsgi_bridge.contrib.django",),
    "pyramid": ("wsgi_bridge.contrib.pyramid",),
}

# All that a part may import of the project itself.
FOUNDATION = (
    "wsgi_bridge.events",
    "wsgi_bridge.names",
    "wsgi_bridge.messages",
    "wsgi_bridge.copying",
    "wsgi_bridge.exceptions",
)
BELOW = {
    "wsgi_bridge.names": FOUNDATION,
    "wsgi_bridge.messages": FOUNDATION,
    "wsgi_bridge.copying": FOUNDATION,
    "wsgi_bridge.exceptions": (),
    "wsgi_bridge.events": ("wsgi_bridge.events",),
    "wsgi_bridge.protocols": (*FOUNDATION, "wsgi_bridge.protocols"),
    "wsgi_bridge.layers": (*FOUNDATION, "wsgi_bridge.layers"),
}

# Sans-I/O: a state machine has no socket, clock, thread or log.
SANS_IO = "wsgi_bridge.protocols"
IO_MODULES = {
    *("asyncio", "concurrent", "gevent", "multiprocessing", "threading", "_thread", "queue"),
    *("io", "os", "select", "selectors", "signal", "socket", "ssl", "subprocess"),
    *("datetime", "time", "random", "logging"),
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def absolute_module(node: ast.ImportFrom, path: Path) -> str:
    """Return the module that a ``from`` names, dots resolved."""
    if not node.level:
        return node.module or ""
    package = path.relative_to(ROOT).parent.parts
    base = package[: len(package) - node.level + 1]
    return ".".join((*base, node.module) if node.module else base)


def names_from(node: ast.ImportFrom, path: Path) -> Iterator[str]:
    """Yield the modules among what a ``from`` imports, or the one that it imports from."""
    module = absolute_module(node, path)
    folder = ROOT.joinpath(*module.split("."))
    for alias in node.names:
        submodule = (folder / alias.name).is_dir() or (folder / f"{alias.name}.py").is_file()
        yield f"{module}.{alias.name}" if submodule else module


def imports_in(node: ast.AST, path: Path) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from names_from(node, path)
    children = node.orelse if is_type_checking(node) else ast.iter_child_nodes(node)  # type: ignore[attr-defined]
    for child in children:
        yield from imports_in(child, path)


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def project_imports() -> Iterator[tuple[str, str]]:
    """Yield each (importing module, imported module) of the three packages."""
    for path in sources():
        for imported in imports_in(ast.parse(path.read_text(), str(path)), path):
            yield module_name(path), imported


IMPORTS = sorted(set(project_imports()))


def test_every_package_is_read() -> None:
    assert {name.split(".")[0] for name in map(module_name, sources())} == set(PACKAGES)


@pytest.mark.parametrize("library", ONLY)
def test_a_library_is_imported_only_where_it_belongs(library: str) -> None:
    allowed = ONLY[library]
    wrong = [
        (importer, imported)
        for importer, imported in IMPORTS
        if is_within(imported, library) and not any(is_within(importer, place) for place in allowed)
    ]
    assert wrong == []


@pytest.mark.parametrize("part", BELOW)
def test_a_part_imports_only_what_is_below_it(part: str) -> None:
    wrong = [
        (importer, imported)
        for importer, imported in IMPORTS
        if is_within(importer, part)
        and imported.split(".")[0] in PACKAGES
        and not any(is_within(imported, below) for below in BELOW[part])
    ]
    assert wrong == []


def test_the_state_machines_import_nothing_that_does_io() -> None:
    wrong = [
        (importer, imported)
        for importer, imported in IMPORTS
        if is_within(importer, SANS_IO) and imported.split(".")[0] in IO_MODULES
    ]
    assert wrong == []


# The checker itself, on source that it must see through.
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import gevent.monkey", {"gevent.monkey"}),
        ("from gevent import sleep", {"gevent"}),
        ("from . import server", {"wsgi_bridge.server"}),
        ("from .names import check_channel", {"wsgi_bridge.names"}),
        ("from .layers.base import BaseLayer", {"wsgi_bridge.layers.base"}),
        ("def late():\n    import redis", {"redis"}),
        ("if TYPE_CHECKING:\n    import gevent", set()),
        ("if TYPE_CHECKING:\n    import gevent\nelse:\n    import redis", {"redis"}),
    ],
)
def test_imports_are_found(source: str, expected: set[str]) -> None:
    path = ROOT / "wsgi_bridge" / "example.py"
    assert set(imports_in(ast.parse(source), path)) == expected


def test_a_relative_import_is_resolved_from_a_subpackage() -> None:
    path = ROOT / "wsgi_bridge" / "layers" / "example.py"
    assert set(imports_in(ast.parse("from ..exceptions import ChannelFull"), path)) == {
        "wsgi_bridge.exceptions"
    }
