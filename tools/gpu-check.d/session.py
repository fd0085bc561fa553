"""A session of checks on a machine that is lent for minutes: what is known is told at once, nothing runs
for longer than it may, and however the session ends, its report is there."""

import concurrent.futures
import contextlib
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time


LOOK_S = 0.5  # from one look at the time to the next


class Failed(Exception):
    """A check found something wrong."""


class Skipped(Exception):
    """A check cannot be made here."""


class NothingToCheck(Exception):
    """There is no device; ends the session."""


class TimeUp(Exception):
    """The session's time ended before the check did."""


class Session:
    """The checks of a session, their output in a folder, and what they came to."""

    def __init__(self, folder, minutes, report):
        self.folder = folder / "report"
        self.scratch = folder / "scratch"
        self.report = report  # an archive of the folder, or None
        self.end = time.monotonic() + 60 * minutes
        self.counts = dict.fromkeys(("passed", "failed", "skipped", "not run"), 0)
        self.children = set()
        self.lock = threading.Lock()
        self.folder.mkdir(parents=True)

    def say(self, text):
        with self.lock:
            with (self.folder / "summary.txt").open("a") as summary:
                print(text, file=summary)
            try:
                print(text, flush=True)
            except OSError:  # who read it is gone; the report is not
                sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115

    def check(self, name, limit_s, function):
        """Makes one check: function(Check) returns what it found, or raises one of the above."""
        begin = time.monotonic()
        check = Check(self, name, min(begin + limit_s, self.end))
        try:
            if begin >= self.end:
                raise TimeUp
            outcome, text = "passed", function(check)
        except Failed as failure:
            outcome, text = "failed", str(failure)
        except Skipped as reason:
            outcome, text = "skipped", str(reason)
        except TimeUp:
            outcome, text = "not run", "the time is up"
        except NothingToCheck:
            raise
        except Exception as error:  # noqa: BLE001 a mistake in a check must not cost the others
            outcome, text = "failed", f"the check itself: {type(error).__name__}: {error}"
        finally:
            self.stop_children()
        self.counts[outcome] += 1
        self.say(f"{outcome:8} {name:12} {text} ({time.monotonic() - begin:.0f} s)")
        self.write_report()
        return outcome

    def end_now(self):
        """From a signal's handler: what runs ends as if the time were up, when it next looks."""
        self.end = time.monotonic()

    def write_report(self):
        """Anew after every check: nobody knows which is the last. Whether it could be, and was to be."""
        if not self.report:
            return True
        new = self.report.with_name(self.report.name + ".new")
        try:
            with tarfile.open(new, "w:xz") as archive:
                archive.add(self.folder, arcname="gpu-check")
            new.replace(self.report)
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink()
            print(f"gpu-check: the report could not be written: {error}", file=sys.stderr)
            return False
        return True

    def stop_children(self):
        while self.children:
            stop(self.children.pop())

    def finish(self):
        """The last two lines; returns the status to exit with."""
        n = self.counts
        self.say(f"{n['skipped']} skipped, {n['not run']} not run")
        self.say(f"{n['passed']} passed, {n['failed']} failed")
        written = self.write_report()
        return 1 if n["failed"] or not written else 3 if n["not run"] else 0


def stop(child):
    """Ends a process and those that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(5)


class Done:
    """A program that ended."""

    def __init__(self, status, out, log):
        self.status, self.out, self.log = status, out, log

    def reason(self):
        """The last line that it said, for a person."""
        lines = (self.log.strip() or self.out.strip() or "it said nothing").splitlines()
        return f"exit code {self.status}: {lines[-1]}"


class Check:
    """What a check may do: run programs until its time ends."""

    def __init__(self, session, name, end):
        self.session, self.name, self.end = session, name, end

    def left_s(self):
        return min(self.end, self.session.end) - time.monotonic()

    def fail(self, text):
        """Failed, or TimeUp where the session's time is up: then nothing is known."""
        raise TimeUp if time.monotonic() >= self.session.end else Failed(text)

    def tell(self, text):
        self.session.say(f"         {self.name}: {text}")

    def folder(self):
        """Of the report."""
        path = self.session.folder / self.name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def scratch(self, name):
        """A folder for what is too large for the report."""
        path = self.session.scratch / self.name / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def start(self, words, label="run", **options):
        """A program in the background, its output in the report; it ends with the check at latest."""
        folder = self.folder()
        with (folder / f"{label}.out").open("wb") as out, \
                (folder / f"{label}.log").open("wb") as log:
            child = subprocess.Popen(list(map(str, words)), stdin=subprocess.DEVNULL, stdout=out,
                                     stderr=log, start_new_session=True, **options)
        self.session.children.add(child)
        return child

    def wait(self, child, limit_s):
        """Whether a program ended within that time and the check's."""
        end = time.monotonic() + limit_s
        while (left := min(self.left_s(), end - time.monotonic())) > 0:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(min(left, LOOK_S))
                return True
        return False

    def run(self, words, label="run", limit_s=float("inf"), fails=True, **options):
        """Runs a program; Failed if it takes too long, or, with fails, does not end with 0."""
        child = self.start(words, label, **options)
        ended = self.wait(child, limit_s)
        if not ended:
            stop(child)
        self.session.children.discard(child)
        if not ended:
            said = (self.read(label, "out").splitlines() or ["nothing"])[-1]
            self.fail(f"{label} took too long, and was stopped; the last that it said: {said}")
        done = Done(child.returncode, self.read(label, "out"), self.read(label, "log"))
        if done.status != 0 and time.monotonic() >= self.session.end:
            raise TimeUp
        if fails and done.status != 0:
            raise Failed(f"{label}: {done.reason()}")
        return done

    def read(self, label, kind):
        return (self.folder() / f"{label}.{kind}").read_text(errors="replace")

    def each(self, jobs, work, n_workers):
        """work(label, job) of every item, side by side; the first of what they raised, after all."""
        raised = []
        with concurrent.futures.ThreadPoolExecutor(n_workers) as pool:
            futures = {pool.submit(work, label, job): label for label, job in jobs.items()}
            results = {}
            for future in concurrent.futures.as_completed(futures):
                label = futures[future]
                try:
                    results[label] = future.result()
                    self.tell(f"{label}: {results[label]}")
                except Exception as error:  # noqa: BLE001 the others go on
                    raised.append(error)
                    self.tell(f"{label}: {error or 'the time is up'}")
        if raised:
            raise next((e for e in raised if isinstance(e, Failed)), raised[0])
        return [results[label] for label in jobs]
