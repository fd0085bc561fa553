"""A real PostgreSQL server of the test's own: on a socket in a temporary folder, run by a user of its own."""
import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import urllib.parse

import pytest
import servers
from softdiffd import wait_until


def find():
    """The folder of the newest server's programs; the test is skipped where there is none."""
    for root in (pathlib.Path("/"), servers.ROOT):
        found = sorted(root.glob("usr/lib/postgresql/*/bin/initdb"), key=lambda path: int(path.parts[-3]))
        if found:
            return found[-1].parent
    pytest.skip("no PostgreSQL server on this machine: tools/unpacked postgresql")


def user():
    """Options of a process that is not root's, which the server refuses to be."""
    if os.getuid() != 0:
        return {}
    names = [entry.pw_name for entry in pwd.getpwall()]
    entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


class Server:
    """All else is as the package has it: what is committed is on the disk."""

    def __init__(self):
        self.bin = find()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pg-"))
        self.options = user() | {"cwd": self.folder}
        self.data, self.process = self.folder / "data", None
        if "user" in self.options:
            os.chown(self.folder, self.options["user"], self.options["group"])
        libraries = ":".join(map(str, [*servers.LIBRARIES, *(path / "llvm" for path in servers.LIBRARIES)]))
        self.options["env"] = os.environ | {"LD_LIBRARY_PATH": libraries, "LC_ALL": "C.UTF-8"}
        self.run("initdb", "-A", "trust", "-U", "softdiff", "-E", "UTF8", "-N", "-D", self.data)
        self.start()

    @property
    def url(self):
        return "postgresql://softdiff@/postgres?host=" + urllib.parse.quote(str(self.folder), safe="")

    def run(self, program, *words):
        done = subprocess.run(
            [self.bin / program, *words], capture_output=True, text=True, timeout=120, **self.options
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self):
        words = ["-D", self.data, "-c", "listen_addresses=", "-c", f"unix_socket_directories={self.folder}"]
        self.process = subprocess.Popen(
            [self.bin / "postgres", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            **self.options)  # fmt: skip
        wait_until(self.answers, "the server")

    def answers(self):
        with contextlib.suppress(AssertionError):
            self.query("SELECT 1")
            return True

    def query(self, text):
        """The rows of a statement, of which the daemon's tables are the first that are found."""
        out = self.run("psql", "-h", self.folder, "-U", "softdiff", "-d", "postgres", "-AtqX",
                       "-c", "SET search_path TO softdiff", "-c", text)  # fmt: skip
        return [line.split("|") for line in out.splitlines()]

    def processes(self):
        """The server and its children, each of which has a group of its own."""
        done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
        return [self.process.pid, *map(int, done.stdout.split())]

    def signal(self, number):
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self):
        """As if its machine had lost power."""
        self.signal(signal.SIGKILL)
        self.process.wait(60)
        with contextlib.suppress(FileNotFoundError):
            (self.data / "postmaster.pid").unlink()

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)  # nothing of it is kept
            self.process.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)
