"""The directive ``events-table``: a row for each Event of the module that it names.

The code is the only place where an event is described; this renders it.
"""

import logging

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from wsgi_bridge.events import Event
from wsgi_bridge.events.table import catalogue

HEADER = ("Event", "Level", "When", "Fields", "What to do")


def row(event: Event) -> tuple[str, ...]:
    """Return the cells of an event."""
    level = logging.getLevelName(event.level).lower()
    fields = ", ".join(f"`{name}`" for name in event.fields)
    cells = (f"`{event.name}`", level, event.when, fields, event.remedy)
    return tuple(cell.replace("|", r"\|") for cell in cells)


class EventsTable(SphinxDirective):
    """Renders the events of a module as a MyST table."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        events = catalogue(self.arguments[0]).values()
        rows = [HEADER, ("---",) * len(HEADER), *map(row, events)]
        lines = [f"| {' | '.join(cells)} |" for cells in rows]
        container = nodes.Element()
        self.state.nested_parse(StringList(lines, source=__file__), self.content_offset, container)
        return container.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("events-table", EventsTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
