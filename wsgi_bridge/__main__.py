"""`python -m wsgi_bridge`: the command line, where no console script is installed."""

from __future__ import annotations

import sys

from wsgi_bridge.commands import main

if __name__ == "__main__":
    sys.exit(main())
