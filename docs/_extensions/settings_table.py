"""The directive ``settings-table``: a row for each field of ``wsgi_bridge.settings.Settings``.

The code is the only place where a setting is described; this renders it.
"""

from dataclasses import fields

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from wsgi_bridge.settings import ENVIRONMENT_PREFIX, Settings

HEADER = ("Keyword of `Bridge`", "Environment", "Default", "What it does")


class SettingsTable(SphinxDirective):
    """Renders the settings as a MyST table."""

    def run(self) -> list[nodes.Node]:
        rows = [HEADER, ("---",) * len(HEADER)]
        for setting in fields(Settings):
            variable = f"`{ENVIRONMENT_PREFIX}{setting.name.upper()}`"
            doc = setting.metadata["doc"].replace("|", r"\|")
            rows.append((f"`{setting.name}`", variable, f"`{setting.default!r}`", doc))
        lines = [f"| {' | '.join(row)} |" for row in rows]
        return self._parse(lines)

    def _parse(self, lines: list[str]) -> list[nodes.Node]:
        container = nodes.Element()
        self.state.nested_parse(StringList(lines, source=__file__), self.content_offset, container)
        return container.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("settings-table", SettingsTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
