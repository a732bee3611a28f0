"""The command line of the benchmarks: `python -m tests.benchmarks`."""

import argparse
import logging
import os
import platform
import shlex
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.benchmarks.arrangements import ALL_FAMILIES, ALL_SCENARIOS
from tests.benchmarks.bench import Bench, Scenario
from tests.benchmarks.loads import check_tools
from tests.benchmarks.report import claims, measured
from tests.benchmarks.servers import raise_descriptor_limit
from tests.benchmarks.uwsgi import BINARY, UWSGI

PACKAGES = ("wsgi-bridge", "gunicorn", "gevent", "uvicorn", "uvloop", "httptools", "websockets")
PACKAGES += ("wsproto", "channels", "channels_redis", "gunicorn_h1c", "lmdb", "redis", "msgpack")


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the options of `arguments`."""
    names = [*ALL_FAMILIES, *(scenario.name for scenario in ALL_SCENARIOS)]
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measure our worker beside its peers: server on one core, load on another.",
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each server (5)")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a round (4)")
    parser.add_argument("--quick", action="store_true", help="one round of two seconds")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"of {names}")
    parser.add_argument("--servers", nargs="+", metavar="NAME", help="only these servers")
    parser.add_argument("--deflate", action="store_true", help="also echo compressed frames")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the tables here")
    options = parser.parse_args(arguments)
    options.only = [
        name for each in options.only or ALL_FAMILIES for name in ALL_FAMILIES.get(each, [each])
    ]
    known = {server.name for scenario in ALL_SCENARIOS for server in scenario.servers}
    if unknown := set(options.servers or ()) - known:
        parser.error(f"no such server: {sorted(unknown)}; there are {sorted(known)}")
    if options.quick:
        options.rounds, options.seconds = 1, 2.0
    return options


def chosen(options: argparse.Namespace) -> list[Scenario]:
    """Return the scenarios to run, each with the servers that were asked for."""
    wanted = options.only + ["echo-deflate"] * options.deflate
    scenarios = [scenario for scenario in ALL_SCENARIOS if scenario.name in wanted]
    if options.servers is None:
        return scenarios
    return [
        replace(each, servers=tuple(s for s in each.servers if s.name in options.servers))
        for each in scenarios
    ]


def machine() -> str:
    """Return one paragraph: what was measured, on what, by which command."""
    packages = []
    for name in PACKAGES:
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    redis = subprocess.run(["redis-server", "-v"], capture_output=True, text=True, check=True)
    packages.append(f"Redis {redis.stdout.partition('v=')[2].split()[0]}")
    command = shlex.join(["python", "-m", "tests.benchmarks", *sys.argv[1:]])
    return (
        f"`{command}`\n\nPython {platform.python_version()}, {_processor()}, "
        f"{os.cpu_count()} cores. {', '.join(packages)}.\n"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def main() -> None:
    """Run what the command line asks for; print the tables, and write them with `--markdown`."""
    options = parse(sys.argv[1:])
    # Ended by a signal, the servers must end too: leave through every `with` block.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    scenarios = chosen(options)
    check_tools("wrk", "redis-server", "taskset")
    if any(each.name == scenario.name for each in UWSGI for scenario in scenarios):
        check_tools(BINARY)
    raise_descriptor_limit()
    server_core, load_core = sorted(os.sched_getaffinity(0))[:2]
    bench = Bench(options.rounds, options.seconds, server_core, load_core)
    results = {scenario.name: bench.run(scenario) for scenario in scenarios}
    sections = [measured(scenario, results[scenario.name]) for scenario in scenarios]
    text = "\n".join([machine(), *sections, claims(scenarios, results)])
    sys.stdout.write(text + "\n")
    if options.markdown:
        options.markdown.write_text(text.rstrip() + "\n")


if __name__ == "__main__":
    main()
