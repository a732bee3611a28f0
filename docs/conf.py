"""How Sphinx builds this documentation. Warnings are errors (`make docs`)."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "wsgi-bridge"
author = "the wsgi-bridge authors"
copyright = f"2026, {author}"
release = installed_version("wsgi-bridge")
version = release

extensions = ["events_table", "gunicorn_table", "indented_code", "myst_parser", "settings_table"]
exclude_patterns = ["_build", "demo", "examples", "topics/benchmark-results.md"]
# The docstrings write `name` for code.
default_role = "literal"

html_theme = "furo"
html_title = f"{project} {release}"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
# The standard library's and the frameworks' own names are not resolved: that would take a download.
nitpick_ignore_regex = [("py:.*", r"(?!wsgi_bridge|gunicorn_asgi|uwsgi_asgi).*")]
