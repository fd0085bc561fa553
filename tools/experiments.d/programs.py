"""The programs that a queue runs: copies of a build's, so that a queue of hours has the same ones from
its first cell to its last, whatever is compiled meanwhile."""

import os
import pathlib
import resource
import shutil
import signal
import subprocess
import time

from definition import Refused

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAMES = ("softdiff-convert", "softdiff-eval", "softdiff-sample", "softdiff-schedule", "softdiff-train")
SOURCES = ("engine", "model", "tools", "config", "meson.build", "meson_options.txt")


class Stopped(Exception):
    """A signal, or the end of the time: what is done is kept."""


def path_in(folder, name):
    return folder / "tools" / name.removeprefix("softdiff-") / name


def output_of(*words):
    try:
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as reason:
        said = getattr(reason, "stderr", None) or str(reason)
        raise Refused(f'"{" ".join(map(str, words))}" failed: {said.strip()}') from reason


def commit(build):
    """Which commit the programs of a build are of; "+" behind it: and of changes that no commit has."""
    targets = [path_in(pathlib.Path("."), name) for name in NAMES]
    if "no work to do" not in output_of("ninja", "-C", build, "-n", *targets):
        raise Refused(f'the programs in "{build}" are older than the sources: meson compile -C {build}')
    changed = output_of("git", "status", "--porcelain", "--untracked-files=no", "--", *SOURCES)
    return output_of("git", "rev-parse", "--short=10", "HEAD").strip() + ("+" if changed else "")


def copy(build, folder):
    """Puts the programs and their commit into a folder that is not there."""
    missing = [name for name in NAMES if not path_in(build, name).is_file()]
    if missing:
        raise Refused(f'"{missing[0]}" is not built in "{build}": meson compile -C {build}')
    text = commit(build)
    temporary = folder.with_name(f".{folder.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for name in NAMES:
        shutil.copy2(path_in(build, name), temporary / name)
    (temporary / "commit").write_text(text + "\n")
    temporary.rename(folder)


class Programs:
    """Runs them, one after the other, in one folder. lock: a file descriptor that they inherit, so that
    it is held as long as one of them lives, even when this process was killed."""

    def __init__(self, folder, work, lock, minutes):
        self.folder = folder
        self.work = work
        self.lock = lock
        self.commit = (folder / "commit").read_text().strip()
        self.end = time.monotonic() + 60 * minutes if minutes else None
        self.child = None
        self.signal = None

    def stop_at_signals(self):
        """What is sent to all processes of a terminal gets to this one alone, which tells the program."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self.on_signal)

    def on_signal(self, number, _):
        self.signal = signal.Signals(number).name
        if self.child and self.child.poll() is None:
            self.child.terminate()

    def left_s(self):
        """Seconds until the end, or None."""
        return None if self.end is None else self.end - time.monotonic()

    def check(self):
        if self.signal:
            raise Stopped(f"stopped by {self.signal}")
        if self.end is not None and self.left_s() <= 0:
            raise Stopped("the time is up")

    def run(self, words, log, account, only_here=()):
        """What the program prints. account: is told the seconds that a processor was busy with it, also
        of an attempt that ends early. only_here: words more, which belong to this attempt and not to
        what is done. log: a file that gets what it says. Raises Stopped or Refused."""
        self.check()
        before = busy_s()
        with log.open("ab") as said:
            self.child = subprocess.Popen(
                [self.folder / words[0], *map(str, words[1:]), *map(str, only_here)], cwd=self.work,
                stdout=subprocess.PIPE, stderr=said, pass_fds=[self.lock], process_group=0)
            if self.signal:  # it came before there was a child to tell
                self.child.terminate()
            output = self.wait()
        account(busy_s() - before)
        if self.child.returncode == 0:
            return output.decode(errors="replace")
        self.check()
        last = log.read_text(errors="replace").strip().rsplit("\n", 1)[-1]
        raise Refused(f"{words[0]} ended with {self.child.returncode}: {last} (all it said: {log})")

    def wait(self):
        left = self.left_s()
        try:
            return self.child.communicate(timeout=None if left is None else max(left, 0))[0]
        except subprocess.TimeoutExpired:
            self.child.terminate()  # each of them keeps what is done
            return self.child.communicate()[0]


def busy_s():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def lower_priority():
    """Only what nobody else wants of the processors."""
    os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
