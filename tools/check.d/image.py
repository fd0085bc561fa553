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
    """A root folder, and what the instructions set. It begins as another stage, or as the base."""

    def __init__(self, folder, name, parent=None):
        self.root = folder / name
        subprocess.run(["cp", "-a", "--one-file-system", parent.root if parent else folder / "base",
                        self.root], check=True)
        mount("-t", "proc", "proc", self.root / "proc")
        mount("--rbind", "/sys", self.root / "sys")
        mount("--rbind", "/dev", self.root / "dev")
        self.variables = dict(parent.variables) if parent else {"PATH": PATH, "HOME": "/root"}
        self.workdir = parent.workdir if parent else "/"
        self.user = parent.user if parent else None
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


def check_libraries(stage, folder):
    """That every library of a folder can be loaded, with all that it needs."""
    names = sorted(path.name for path in stage.path(folder).iterdir())
    assert names, f"{folder} is empty"
    for name in names:
        done = subprocess.run(stage.command(["ldd", "-r", f"{folder}/{name}"]), env=stage.variables,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
        assert not re.search("not found|undefined symbol", done.stdout), done.stdout
    print("can be loaded:", *names)


def run(stage, log):
    """docker run --read-only; the daemon is healthy, draws and stops. log: a file for what it says."""
    mount("--rbind", stage.root, stage.root)
    mount("-o", "remount,bind,ro", stage.root)
    leave_the_network()
    with log.open("w") as said:
        daemon = subprocess.Popen(stage.command(stage.commands["ENTRYPOINT"]), env=stage.variables,
                                  stderr=said)
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
    print(log.read_text())


def needed(stages, name):
    """The stages that one is made with, itself last."""
    base, steps = stages[name]
    sources = [base] + [value.split()[0].removeprefix("--from=") for _, value in steps]
    found = [other for source in sources if source in stages for other in needed(stages, source)]
    return list(dict.fromkeys([*found, name]))


def make(folder, arguments, stages, name, made):
    base, steps = stages[name]
    if base not in stages:
        assert arguments[base[2:-1]] == arguments["DEBIAN_BASE"], f"{name} has another base"
    stage = Stage(folder, name, made.get(base))
    made[name] = stage
    roots = {"context": folder / "context"} | {other: of.root for other, of in made.items()}
    for step in steps:
        apply(stage, *step, roots)
    return stage


def main():
    target, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    text = (folder / "context/Dockerfile").read_text()
    arguments, stages = dockerfile_text.stages(dockerfile_text.instructions(text))
    made = {}
    for name in needed(stages, target):
        stage = make(folder, arguments, stages, name, made)
    if target == "cuda":
        check_libraries(stage, "/usr/lib/softdiff")
    run(stage, folder / "log")
    if target == "cuda" and not os.path.exists("/dev/nvidiactl"):
        log = (folder / "log").read_text()
        assert re.search('event=device_passed_over error="?device ..cuda', log), "it does not say why"
        assert "event=ready device=\"oneDNN" in log, "it does not compute on the CPU"


main()
