"""The page about uwsgidecorators knows all of its names, and the module has their signatures."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from uwsgi_asgi import decorators

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "uwsgi-decorators.md"

# Of uwsgidecorators.py in uWSGI 2.0.31: the decorators, what they are called with, and the rest.
DECORATORS = {
    "cron": ["minute", "hour", "day", "month", "dayweek"],
    "erlang": ["name"],
    "farm": ["name"],
    "filemon": ["fsobj"],
    "harakiri": ["seconds"],
    "lock": ["f"],
    "mule": ["num"],
    "mulefunc": ["f"],
    "muleloop": ["num"],
    "mulemsg": ["num"],
    "postfork": ["f"],
    "rbtimer": ["secs"],
    "rpc": ["name"],
    "signal": ["num"],
    "spool": ["f", "pass_arguments"],
    "spoolforever": ["f", "pass_arguments"],
    "spoolraw": ["f", "pass_arguments"],
    "thread": ["f"],
    "timer": ["secs"],
}
HAVE_TARGET = {"cron", "filemon", "rbtimer", "signal", "timer"}
INSIDES = {
    *("farm_loop", "get_free_signal", "manage_spool_request", "mule_brain", "mule_brainloop"),
    *("mule_functions", "mule_msg_dispatcher", "mulemsg_loop", "postfork_chain"),
    *("postfork_chain_hook", "spool_decorate", "spooler_functions"),
}


def rows() -> dict[str, str]:
    """Return the rows of the table, by their names."""
    text = PAGE.read_text().partition("## The same, and what differs")[2].partition("in place of")
    return dict(re.findall(r"^\| `(\w+)` \|(.*)$", text[0], re.MULTILINE))


def test_the_table_has_a_row_for_every_decorator() -> None:
    assert set(rows()) == set(DECORATORS)


def test_the_page_names_everything_else() -> None:
    text = PAGE.read_text()
    assert [name for name in INSIDES if f"`{name}`" not in text] == []


def test_whatever_the_module_has_beside_is_explained() -> None:
    text = PAGE.read_text()
    beside = set(decorators.__all__) - set(DECORATORS)
    assert [name for name in beside if not re.search(rf"\b{name}\b", text)] == []
    assert set(DECORATORS) <= set(decorators.__all__)


@pytest.mark.parametrize("name", DECORATORS)
def test_a_decorator_is_called_as_uwsgis(name: str) -> None:
    parameters = inspect.signature(getattr(decorators, name)).parameters.values()
    named = [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    options = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}
    assert named == DECORATORS[name]
    assert ("target" in options) == (name in HAVE_TARGET)
