"""What a log may say."""

from __future__ import annotations

import pytest

from tests.soak.complaints import find_complaints
from tests.soak.site import PROVOKED

REFUSED = "gunicorn_asgi.connection: Invalid request from ip=127.0.0.1: x"
AT = "[2026-01-02 03:04:05 +0000] [7]"
TRACEBACK = f"""\
{AT} [ERROR] wsgi_bridge.wsgi: the app failed at GET '/fail'
Traceback (most recent call last):
  File "site.py", line 1, in fail
RuntimeError: {PROVOKED}
"""


def complaints(log: str) -> list[str]:
    return [str(each) for each in find_complaints(log, killed={5})]


@pytest.mark.parametrize(
    "log",
    [
        "",
        f"{AT} [INFO] Handling signal: hup\n{AT} [INFO] Booting worker with pid: 9\n",
        f"{AT} [ERROR] Worker (pid:5) was sent SIGKILL! Perhaps out of memory?\n",
        f"{AT} [WARNING] {REFUSED}\n",
        TRACEBACK,
        TRACEBACK + f"{AT} [INFO] all is well\n",
    ],
)
def test_what_was_provoked_is_no_complaint(log):
    assert complaints(log) == []


@pytest.mark.parametrize(
    ("log", "complaint"),
    [
        (f"{AT} [ERROR] something\n", "ERROR: something"),
        (f"{AT} [WARNING] something\n", "WARNING: something"),
        (f"{AT} [ERROR] Worker (pid:6) was sent SIGKILL!\n",
         "ERROR: Worker (pid:6) was sent SIGKILL!"),
        (f"{AT} [INFO] all is well\nprinted by somebody\n", "PRINTED: printed by somebody"),
        (TRACEBACK.replace(PROVOKED, "of its own"),
         "ERROR: wsgi_bridge.wsgi: the app failed at GET '/fail'\n"
         "Traceback (most recent call last):\n"
         '  File "site.py", line 1, in fail\nRuntimeError: of its own'),
        # What follows an entry that was provoked is not covered by it.
        (f"{AT} [WARNING] {REFUSED}\nValueError\n", f"WARNING: {REFUSED}\nValueError"),
    ],
)  # fmt: skip
def test_anything_else_is_one(log, complaint):
    assert complaints(log) == [complaint]
