"""Shows an indented block of a docstring as code.

That is how this project's docstrings are written, and how they read in a terminal. To
reStructuredText such a block is a quotation, unless two colons come before it.
"""

from collections.abc import Iterator

from sphinx.application import Sphinx


def mark_code(lines: list[str]) -> Iterator[str]:
    """Yield the lines, with ``::`` before each block that is indented after a blank line."""
    in_block, before = False, ""
    for line, previous in zip(lines, ["", *lines], strict=False):
        is_indented = line.startswith("    ")
        if (
            is_indented
            and not in_block
            and not previous
            and not before.startswith((" ", "- ", ".."))
        ):
            yield from ("::", "")
            in_block = True
        if line:
            in_block = in_block and is_indented
            before = line
        yield line


def on_docstring(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Handle the event ``autodoc-process-docstring``."""
    lines[:] = list(mark_code(lines))


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to autodoc."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", on_docstring)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
