"""The command on the layer that the workers of one gunicorn share by themselves."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from tests.integration.servers import PATIENCE, Server, run_server
from tests.integration.sockets import open_socket
from tests.wsgi_bridge.commands.rig import call_json

pytestmark = pytest.mark.integration

ROOMS = "tests.apps.rooms:application"
WORKERS = 2
SOCKETS = 3


def test_the_layer_of_a_gunicorn_is_found_and_looked_into(tmp_path: Path) -> None:
    runtime = {"XDG_RUNTIME_DIR": str(tmp_path)}
    with (
        run_server(ROOMS, args=["-w", str(WORKERS)], env={**runtime, "CHANNEL_LAYER": ""}) as site,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(SOCKETS):
            stack.enter_context(open_socket(site, "/room")).recv(PATIENCE)
        url = find_layer(site, runtime)
        [room] = call_json("layer", url, "groups", **runtime)
        assert (room["group"], room["members_count"]) == ("everyone", SOCKETS)
        assert 1 <= room["readers_count"] <= WORKERS
        members = call_json("layer", url, "groups", "everyone", **runtime)["members"]
        readers = {name[: name.index("!") + 1] for name in members}
        assert len(readers) == room["readers_count"]


def find_layer(site: Server, runtime: dict[str, str]) -> str:
    """Return the URL of a gunicorn's layer as a user finds it: by the id of the master."""

    def find() -> Any:
        listed = call_json("layer", "ipc://", **runtime)
        mine = [each for each in listed if f"ipc://gunicorn-{site.pid}-" in each["layer"]]
        return mine and sorted(mine[0]["processes"]) == site.worker_pids() and mine[0]["layer"]

    return str(site.wait_for(find, "the layer, with all workers"))
