"""tools/packages: what it does for root, for a user with sudo and for a user without."""

import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

TOOLS = pathlib.Path(__file__).resolve().parent.parent.parent / "tools"
COMMANDS = ("cat", "dirname", "env", "grep", "head", "id", "sh", "tr", "dpkg-query")
NOBODY = 65534

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-query"), reason="no Debian system")


@pytest.fixture
def place():
    """A folder that any user may enter, with the script, its lists and the commands it uses;
    apt-get prints what it is asked to do."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        for path in TOOLS.glob("packages*"):
            shutil.copy(path, folder)
        (folder / "bin").mkdir()
        for command in COMMANDS:
            (folder / "bin" / command).symlink_to(shutil.which(command))
        write_command(folder, "apt-get", 'echo "$(id -u): apt-get $*"')
        # A data base of packages with none in it.
        for part in ("updates", "info"):
            (folder / "dpkg" / part).mkdir(parents=True)
        (folder / "dpkg" / "status").touch()
        yield folder


def write_command(folder, name, body):
    path = folder / "bin" / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def run(folder, *arguments, user=None, installed=False):
    environment = {"PATH": str(folder / "bin")}
    if not installed:
        environment["DPKG_ADMINDIR"] = str(folder / "dpkg")
    # Only root can become another user; any other is none of root already.
    options = {"user": user, "group": user} if os.getuid() == 0 and user else {}
    return subprocess.run([folder / "packages", *arguments], env=environment, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60, **options)


def test_nothing_is_missing(place):
    """The programs' libraries are there, or the tests could not have been built."""
    done = run(place, "build", installed=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_neither_root_nor_sudo(place):
    done = run(place, "build", user=NOBODY)
    assert done.returncode == 1
    assert "neither root nor sudo" in done.stderr
    assert "libdnnl-dev" in done.stderr
    assert "apt-get update" not in done.stdout


def test_with_sudo(place):
    write_command(place, "sudo", 'echo "sudo $*"')
    done = run(place, "--yes", "run", user=NOBODY)
    assert done.returncode == 0
    update, install = [line for line in done.stdout.splitlines() if line.startswith("sudo")]
    assert update.endswith("apt-get update -q")
    assert "apt-get install" in install and install.endswith("libsystemd0 libuv1 zlib1g")


@pytest.mark.skipif(os.getuid() != 0, reason="not root")
def test_as_root(place):
    done = run(place, "run", "test")
    assert done.returncode == 0
    assert "0: apt-get update -q" in done.stdout
    assert "libdnnl2" in done.stdout and "libcmocka-dev" in done.stdout


@pytest.mark.skipif(os.getuid() != 0, reason="not root")
@pytest.mark.parametrize("known, chosen", [("libdnnl2", "libdnnl2"), ("libdnnl3.6", "libdnnl3.6"),
                                           ("nothing", "libdnnl2")])
def test_either_name(place, known, chosen):
    """Of the names that a library's package has in two Debians, the one that apt knows."""
    write_command(place, "apt-cache", f'[ "$2" != {known} ] || echo "Package: $2"')
    done = run(place, "run")
    assert done.returncode == 0
    install = [line for line in done.stdout.splitlines() if "apt-get install" in line][0]
    assert [word for word in install.split() if word.startswith("libdnnl")] == [chosen]
    assert "|" not in install


def test_without_an_update(place):
    """A network that is down does not keep it from packages that are at hand."""
    write_command(place, "apt-get", '[ "$1" = install ]')
    write_command(place, "sudo", 'exec "$@"')
    assert run(place, "run", user=NOBODY).returncode == 0


@pytest.mark.parametrize("arguments", [(), ("--yes",), ("paint",)])
def test_wrong_list(place, arguments):
    done = run(place, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "list" in done.stderr
