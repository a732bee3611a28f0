"""A configuration of gunicorn that logs JSON, as docs/reference/events.md has it."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "events.md"
found = re.search(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
assert found is not None
exec(found[1])  # defines logconfig_dict
