"""A real nginx before a server of the tests: one location, in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.integration.servers import die_with_parent, wait_for
from tests.integration.uwsgi_servers import free_port, skip_or_fail

UWSGI_PARAMS = Path("/etc/nginx/uwsgi_params")

CONFIGURATION = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 100m;
    server {{
        listen 127.0.0.1:{port};
        {locations}
    }}
}}
"""


class Nginx:
    """A running one. It has what the clients of `sockets` and `wire` need of a server."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def connect(self, *, timeout: float = 10.0, **_: object):
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)


@contextlib.contextmanager
def run_nginx(folder: Path, locations: str) -> Iterator[Nginx]:
    """Run nginx with these locations while the block runs; skip where there is none, in CI fail."""
    binary = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if binary is None or not UWSGI_PARAMS.exists():
        skip_or_fail("there is no nginx")
    port = free_port()
    file = folder / "nginx.conf"
    file.write_text(CONFIGURATION.format(folder=folder, port=port, locations=locations))
    process = subprocess.Popen(
        [binary, "-c", str(file), "-e", str(folder / "log")], preexec_fn=die_with_parent
    )
    try:
        nginx = Nginx(port)

        def is_listening() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            with contextlib.suppress(OSError), nginx.connect():
                return True
            return False

        wait_for(is_listening, "nginx to listen")
        yield nginx
    finally:
        process.terminate()
        process.wait(10)
