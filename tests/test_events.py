"""Every warning and error is an Event: read from the source, so that none can be forgotten.

a warning or error      is written by Event.log, and by nothing else
an Event                is used, has a name of its own, the fields that it says, and a place in
                        the documentation
a broad except          raises, hands the exception on, or logs an Event with the traceback
"""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_imports import ROOT, module_name, sources
from wsgi_bridge.events import Event
from wsgi_bridge.events.table import CATALOGUES, catalogue
from wsgi_bridge.logs import RESERVED

EVENTS = {name: event for module in CATALOGUES for name, event in catalogue(module).items()}
DIRECT = {"warning", "warn", "error", "exception", "critical", "fatal"}
# The records' own keys: Event.log's arguments, and what it adds.
OWN = {"event", "cause", "suppressed", "text", "log", "exc_info"}
# Where Event.log itself is.
EXEMPT = {
    ROOT / "wsgi_bridge" / "events" / "event.py",
    ROOT / "wsgi_bridge" / "events" / "bursts.py",
}


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sources():
        if path not in EXEMPT:
            yield path, ast.parse(path.read_text(), str(path))


TREES = list(trees())


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Yield each call of a method, with its place."""
    for path, tree in TREES:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def receiver(call: ast.Call) -> str:
    assert isinstance(call.func, ast.Attribute)
    return ast.unparse(call.func.value)


def is_log(call: ast.Call) -> bool:
    return "log" in receiver(call).lower().rpartition(".")[2]


LOGGED = [
    (place, call)
    for place, call in calls()
    if call.func.attr == "log" and receiver(call) in EVENTS  # type: ignore[attr-defined]
]


def test_no_warning_and_no_error_is_without_an_event() -> None:
    direct = [place for place, call in calls() if call.func.attr in DIRECT and is_log(call)]  # type: ignore[attr-defined]
    assert direct == []


def test_a_level_that_is_computed_is_not_a_way_around() -> None:
    computed = [
        place
        for place, call in calls()
        if call.func.attr == "log" and is_log(call)  # type: ignore[attr-defined]
    ]
    assert computed == []


def test_every_event_is_used() -> None:
    assert {receiver(call) for _, call in LOGGED} == set(EVENTS)


def test_every_event_has_a_name_of_its_own() -> None:
    names = [event.name for event in EVENTS.values()]
    assert sorted(names) == sorted(set(names))
    assert [name for name in names if not re.fullmatch(r"[a-z]+\.[a-z_]+", name)] == []


@pytest.mark.parametrize("event", EVENTS.values(), ids=lambda event: event.name)
def test_an_event_is_a_fault_with_something_to_do(event: Event) -> None:
    assert event.level in (logging.WARNING, logging.ERROR)
    assert event.when.endswith(".")
    assert event.remedy.endswith(".")
    assert not {*event.fields, *event.by} & (RESERVED | OWN)
    assert set(event.by) <= set(event.fields)


def fields_of(call: ast.Call) -> set[str]:
    """Return the fields of a call; `**_named(environ)` and `**fields` are looked up by hand."""
    spread = {
        "_named(environ)": {"method", "path"},
        "fields": {"connections", "wanted", "setting", "limit"},
    }
    found: set[str] = set()
    for keyword in call.keywords:
        found |= {keyword.arg} if keyword.arg else spread[ast.unparse(keyword.value)]
    return found - OWN


@pytest.mark.parametrize(("place", "call"), LOGGED, ids=[place for place, _ in LOGGED])
def test_a_line_has_the_fields_of_its_event(place: str, call: ast.Call) -> None:
    event = EVENTS[receiver(call)]
    found = fields_of(call)
    assert found <= set(event.fields)
    assert set(event.by) <= found
    assert "cause" in {keyword.arg for keyword in call.keywords}
    text = "".join(
        node.value
        for node in ast.walk(call.args[1])
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    assert set(re.findall(r"%\((\w+)\)", text)) <= found | {"cause"}
    assert not re.search(r"%[^(%]", text), "fields are named in a text"


def test_every_field_is_in_some_line() -> None:
    told: dict[str, set[str]] = {}
    for _, call in LOGGED:
        told.setdefault(receiver(call), set()).update(fields_of(call))
    assert told == {name: set(event.fields) for name, event in EVENTS.items()}


def is_broad(handler: ast.ExceptHandler) -> bool:
    caught = (
        {"BaseException"}
        if handler.type is None
        else {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}
    )
    return bool(caught & {"Exception", "BaseException"})


def is_accounted_for(handler: ast.ExceptHandler) -> bool:
    """Whether it raises, logs the traceback, or does something else with the exception."""
    causes: set[ast.AST] = set()
    for node in ast.walk(handler):
        if isinstance(node, ast.Raise):
            return True
        if isinstance(node, ast.Call):
            if any(each.arg == "exc_info" for each in node.keywords):
                return True
            causes |= {each.value for each in node.keywords if each.arg == "cause"}
    return any(
        isinstance(node, ast.Name) and node.id == handler.name and node not in causes
        for node in ast.walk(handler)
    )


def test_a_broad_except_hides_nothing() -> None:
    hiding = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, tree in TREES
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and is_broad(node) and not is_accounted_for(node)
    ]
    assert hiding == []


def test_the_catalogues_are_all_there_are() -> None:
    defined = {
        module_name(path)
        for path, tree in TREES
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) == "Event"
        and node.value.args
    }
    assert defined == set(CATALOGUES)


def test_the_constant_of_an_event_is_its_name() -> None:
    for constant, event in EVENTS.items():
        assert constant == event.name.replace(".", "_").upper()


def test_the_page_has_the_catalogue() -> None:
    page = (ROOT / "docs" / "reference" / "events.md").read_text()
    assert page.count("{events-table}") == len(CATALOGUES)
    for module in CATALOGUES:
        assert f"{{events-table}} {module}" in page
    links = {
        link
        for event in EVENTS.values()
        for link in re.findall(r"\]\(([\w./-]+\.md)\)", event.when + event.remedy)
    }
    for link in links:
        assert (ROOT / "docs" / "reference" / link).resolve().is_file(), link


def test_what_a_remedy_names_as_an_event_is_one() -> None:
    areas = {event.name.partition(".")[0] for event in EVENTS.values()}
    names = {event.name for event in EVENTS.values()}
    for event in EVENTS.values():
        for word in re.findall(r"`(\w+\.\w+)`", event.when + event.remedy):
            if word.partition(".")[0] in areas - {"group"}:
                assert word in names
