"""The directive ``gunicorn-table``: a row for each of gunicorn's settings."""

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from gunicorn_asgi.gunicorn_settings import SETTINGS, Kind

HEADER = ("Setting", "With our worker", "Why, or how")
ORDER = (Kind.HONOURED, Kind.REFUSED, Kind.NOTHING, Kind.OWN)


class GunicornTable(SphinxDirective):
    """Renders the table as a MyST table, what is honoured first."""

    def run(self) -> list[nodes.Node]:
        rows = [HEADER, ("---",) * len(HEADER)]
        ordered = sorted(SETTINGS.items(), key=lambda item: (ORDER.index(item[1].kind), item[0]))
        rows += [(f"`{name}`", rule.kind.value, rule.note) for name, rule in ordered]
        lines = [f"| {' | '.join(row)} |" for row in rows]
        container = nodes.Element()
        self.state.nested_parse(StringList(lines, source=__file__), self.content_offset, container)
        return container.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("gunicorn-table", GunicornTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
