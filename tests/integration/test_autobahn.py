"""The Autobahn testsuite against real servers: every case OK or informational, none tolerated.

Through gunicorn's worker, and through a socket that a worker of uWSGI has handed over. Of the
compressed messages some sizes; `make conformance` has the others too.
"""

from __future__ import annotations

import pytest

from tests.conformance.apps import MAX_SIZE
from tests.conformance.autobahn import BOUNDED, GROUPS, run_cases
from tests.integration.servers import run_server
from tests.integration.uwsgi_servers import run_uwsgi

pytest.importorskip("kosoku")
pytestmark = [pytest.mark.integration, pytest.mark.slow]
APP = "tests.conformance.apps.echo_bridge:application"


@pytest.fixture(params=["gunicorn", "uwsgi"])
def server(request, tmp_path):
    if request.param == "gunicorn":
        running = run_server(APP)
    else:
        # Its processes share a layer, which has to take what the app's own in memory does.
        layer = f"ipc://{tmp_path}/layer?max_message_size={MAX_SIZE + 65536}"
        env = {"CHANNEL_LAYER": layer, "ASGI_MAX_MESSAGE_SIZE": str(MAX_SIZE)}
        running = run_uwsgi(APP, env=env)
    with running as server:
        yield server


def test_every_case_is_ok_or_informational(server):
    cases = run_cases(server.port, BOUNDED, patience=300)
    assert [case for case in cases if not case.is_good] == []
    # Whatever kosoku comes with in later versions, these are there.
    assert {case.group for case in cases} == set(GROUPS)
    assert len(cases) >= 327
