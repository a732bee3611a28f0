"""The Autobahn testsuite against a real server: every case OK or informational, none tolerated.

Of the compressed messages some sizes; `make conformance` has the others too.
"""

from __future__ import annotations

import pytest

from tests.conformance.autobahn import BOUNDED, GROUPS, run_cases

pytest.importorskip("kosoku")
pytestmark = [pytest.mark.integration, pytest.mark.slow]
SERVER = {"app": "tests.conformance.apps.echo_bridge:application"}


def test_every_case_is_ok_or_informational(server):
    cases = run_cases(server.port, BOUNDED, patience=300)
    assert [case for case in cases if not case.is_good] == []
    # Whatever kosoku comes with in later versions, these are there.
    assert {case.group for case in cases} == set(GROUPS)
    assert len(cases) >= 327
