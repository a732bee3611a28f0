"""The Autobahn testsuite through a socket that a worker of uWSGI has handed over: no case less."""

from __future__ import annotations

import pytest

from tests.conformance.apps.echo_bridge import MAX_SIZE
from tests.conformance.autobahn import BOUNDED, GROUPS, run_cases
from tests.integration.uwsgi_servers import run_uwsgi

pytest.importorskip("kosoku")
pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_every_case_is_ok_or_informational(tmp_path):
    # A terminator does not load the site: what that says of server and layer is said by variables.
    env = {
        "ASGI_MAX_MESSAGE_SIZE": str(MAX_SIZE),
        "CHANNEL_LAYER": f"ipc://{tmp_path}/layer?max_message_size={MAX_SIZE + 65536}",
    }
    with run_uwsgi("tests.conformance.apps.echo_bridge:application", env=env) as server:
        cases = run_cases(server.port, BOUNDED, patience=300)
    assert [case for case in cases if not case.is_good] == []
    assert {case.group for case in cases} == set(GROUPS)
    assert len(cases) >= 327
