#!/usr/bin/env python3
"""Replays a target of the Dockerfile and runs what came out, for tools/check.d/image.

usage: image.py TARGET FOLDER      FOLDER: has base/, a root folder, and context/, what COPY takes
"""

import ctypes
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/house"))
import dockerfile_text  # noqa: E402

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CLONE_NEWNET = 0x40000000
NETWORK = re.compile(r"PIP_.*|.*_proxy|SSL_CERT_(FILE|DIR)", re.IGNORECASE)


class Stage:
    """A root folder, and what the instructions set."""

    def __init__(self, folder, name):
        self.root = folder / name
        subprocess.run(["cp", "-a", folder / "base", self.root], check=True)
        mount("-t", "proc", "proc", self.root / "proc")
        mount("--rbind", "/sys", self.root / "sys")
        mount("--rbind", "/dev", self.root / "dev")
        self.variables = {"PATH": PATH, "HOME": "/root"}
        self.workdir = "/"
        self.user = None
        self.commands = {}  # ENTRYPOINT and HEALTHCHECK

    def command(self, words):
        """The words that run a command inside, as the user that was set."""
        options = ["--userspec", self.user] if self.user else []
        shell = ["sh", "-c", 'cd "$0" && exec "$@"', self.workdir]
        return ["chroot", *options, str(self.root), *shell, *words]

    def path(self, inside):
        return self.root / str(pathlib.PurePosixPath(self.workdir, inside)).lstrip("/")


def mount(*words):
    subprocess.run(["mount", *words], check=True)


def copy(stage, source_root, words):
    """COPY: the contents of folders and files into a folder."""
    *sources, destination = words
    target = stage.path(destination)
    if len(sources) > 1 or destination.endswith("/") or sources[0].endswith("/"):
        target.mkdir(parents=True, exist_ok=True)
    for source in sources:
        path = source_root / source.lstrip("/")
        if path.is_dir():
            shutil.copytree(path, target, dirs_exist_ok=True, symlinks=True)
        else:
            shutil.copy2(path, target)


def apply(stage, name, value, roots):
    print(name, value, flush=True)
    words = value.split()
    if name == "RUN":
        # Where a build of Docker's has the network of its host, we have its settings.
        network = {key: text for key, text in os.environ.items() if NETWORK.fullmatch(key)}
        subprocess.run(stage.command(["sh", "-c", value]), env=network | stage.variables,
                       check=True, stdin=subprocess.DEVNULL)
    elif name == "COPY":
        source = re.match(r"--from=(\S+) ", value)
        copy(stage, roots[source[1] if source else "context"], words[1 if source else 0:])
    elif name == "WORKDIR":
        stage.workdir = value
        stage.path(".").mkdir(parents=True, exist_ok=True)
    elif name == "ENV":
        stage.variables.update(word.split("=", 1) for word in words)
    elif name == "USER":
        stage.user = value
    elif name in ("ENTRYPOINT", "HEALTHCHECK"):
        stage.commands[name] = json.loads(value[value.index("["):])
    else:
        assert name in ("EXPOSE", "STOPSIGNAL"), f"{name} cannot be replayed"


def leave_the_network():
    """A network namespace with a loopback alone: the image's ports are free there."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    with socket.socket() as any_socket:
        up = struct.pack("16sH", b"lo", 1)  # struct ifreq with IFF_UP
        fcntl.ioctl(any_socket, 0x8914, up)  # SIOCSIFFLAGS


def run(stage):
    """docker run --read-only; the daemon is healthy, draws and stops."""
    mount("--rbind", stage.root, stage.root)
    mount("-o", "remount,bind,ro", stage.root)
    leave_the_network()
    daemon = subprocess.Popen(stage.command(stage.commands["ENTRYPOINT"]), env=stage.variables)
    check = stage.command(stage.commands["HEALTHCHECK"])
    end = time.monotonic() + 60
    while subprocess.run(check, env=stage.variables, check=False).returncode != 0:
        assert time.monotonic() < end and daemon.poll() is None, "the daemon is not healthy"
        time.sleep(0.5)
    request = urllib.request.Request("http://127.0.0.1:8080/v1/samples", b'{"seed": 7}',
                                     {"Content-Type": "application/json", "Accept": "image/png"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        png = answer.read()
    assert png.startswith(b"\x89PNG\r\n\x1a\n") and len(png) > 1000, png[:200]
    print(f"the daemon answered with a PNG of {len(png)} bytes")
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(60) == 0, "the daemon did not stop well"


def main():
    target, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    text = (folder / "context/Dockerfile").read_text()
    arguments, stages = dockerfile_text.stages(dockerfile_text.instructions(text))
    roots = {"context": folder / "context"}
    for name in ("build", target):
        base, steps = stages[name]
        assert arguments[base[2:-1]] == arguments["DEBIAN_BASE"], f"{name} has another base"
        stage = Stage(folder, name)
        roots[name] = stage.root
        for step in steps:
            apply(stage, *step, roots)
    run(stage)


main()
