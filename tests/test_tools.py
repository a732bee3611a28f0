"""tools/need, in a shell whose PATH holds nothing but what a test puts there; side-by-side."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

NEED = Path(__file__).parent.parent / "tools" / "need"
# What the script itself uses; apt-get, sudo and id are a test's own.
COMMANDS = ("env", "sed", "sh", "touch", "chmod", "cat")


class Machine:
    """A folder of commands, and what became of running tools/need with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in COMMANDS:
            (folder / name).symlink_to(str(shutil.which(name)))
        self.add("id", "echo 0")

    def add(self, name: str, script: str = "exit 0") -> None:
        command = self.folder / name
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)

    def add_apt(self, package: str, program: str, *, has_lists: bool = True) -> None:
        """Let apt-get know one package, which brings one program."""
        lists = self.folder.parent / "lists"
        if has_lists:
            lists.touch()
        self.add("apt-cache", f'case "$*" in *{package}) [ -e {lists} ] ;; *) exit 1 ;; esac')
        installs = f"touch {self.folder}/{program}; chmod +x {self.folder}/{program}"
        self.add(
            "apt-get",
            f'case "$*" in *update*) touch {lists} ;; *install*{package}) {installs} ;; esac',
        )

    def need(self, *programs: str) -> tuple[int, str]:
        done = subprocess.run(
            [NEED, *programs],
            env={"PATH": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    folder = tmp_path / "bin"
    folder.mkdir()
    return Machine(folder)


def test_what_is_there_is_not_installed(machine: Machine) -> None:
    machine.add("redis-server")
    assert machine.need("redis-server") == (0, "")


def test_an_other_name_of_the_program_will_do(machine: Machine) -> None:
    machine.add("google-chrome")
    assert machine.need("chromium") == (0, "")


def test_a_machine_without_apt_is_told_the_package(machine: Machine) -> None:
    code, error = machine.need("chromedriver")
    assert code == 1
    assert "install the package chromium-driver or chromium-chromedriver" in error
    assert "no apt-get" in error


def test_a_user_without_sudo_is_told_the_package(machine: Machine) -> None:
    machine.add_apt("redis-server", "redis-server")
    machine.add("id", "echo 1000")
    code, error = machine.need("redis-server")
    assert code == 1
    assert "install the package redis-server as root" in error


def test_root_has_it_installed(machine: Machine) -> None:
    machine.add_apt("chromium-driver", "chromedriver")
    assert machine.need("chromedriver") == (0, "installing chromedriver\n")


def test_another_user_has_it_installed_through_sudo(machine: Machine) -> None:
    machine.add_apt("wrk", "wrk")
    machine.add("id", "echo 1000")
    machine.add("sudo", f'echo asked > {machine.folder}/asked; "$@"')
    assert machine.need("wrk")[0] == 0
    assert (machine.folder / "asked").exists()


def test_the_name_of_the_other_distribution_is_tried(machine: Machine) -> None:
    machine.add_apt("chromium-chromedriver", "chromedriver")
    assert machine.need("chromedriver")[0] == 0


def test_a_python_without_venv_gets_it(machine: Machine) -> None:
    machine.add_apt("python3.11-venv", "ensurepip")
    machine.add("python3", f"[ -e {machine.folder}/ensurepip ]")
    assert machine.need("python3.11-venv") == (0, "installing python3.11-venv\n")


def test_missing_package_lists_are_fetched_first(machine: Machine) -> None:
    machine.add_apt("wrk", "wrk", has_lists=False)
    assert machine.need("wrk")[0] == 0


def test_an_unknown_package_is_said(machine: Machine) -> None:
    machine.add_apt("something-else", "something-else")
    code, error = machine.need("wrk")
    assert code == 1
    assert "apt-get does not know it" in error


def test_a_failed_installation_is_said(machine: Machine) -> None:
    machine.add_apt("wrk", "wrk")
    machine.add("apt-get", "exit 100")
    code, error = machine.need("wrk")
    assert code == 1
    assert "install the package wrk" in error


@pytest.mark.parametrize("failing", [set(), {"first"}, {"second"}, {"first", "second"}])
def test_two_commands_run_at_once_and_both_have_to_succeed(
    tmp_path: Path, failing: set[str]
) -> None:
    """Each waits for the other: neither is begun after the other's end."""

    def command(own: str, other: str) -> str:
        status = 1 if own in failing else 0
        wait = f"while [ ! -e {tmp_path}/{other} ]; do sleep 0.01; done"
        return f"touch {tmp_path}/{own}; {wait}; echo {own}; exit {status}"

    script = NEED.parent / "side-by-side"
    found = subprocess.run(
        [script, command("first", "second"), command("second", "first")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.stdout.split() == ["second", "first"]
    assert (found.returncode == 0) is not bool(failing)
