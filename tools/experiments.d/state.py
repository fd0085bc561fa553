"""The folder of a queue, which is no part of the repository: programs, pictures, models on their way.

    lock             held by whoever works here
    programs/        programs.py
    pictures.pack    the training pictures, of the size that is trained
    real-FEATURES.safetensors
    ARM-SEED-DIGEST/ a training, the tables made of it, and what is drawn on its way to a row
    grids/           64 pictures of every cell, for people to look at
"""

import fcntl
import hashlib
import json
import os
import pathlib
import struct

import programs
import whole_file
from definition import Refused

MODEL = "model.safetensors"
PACK = "pictures.pack"


def sha256(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class State:
    def __init__(self, path, definition):
        self.path = path.absolute()
        self.definition = definition

    def training(self, arm, seed):
        """The name of its folder: another one when the definition has changed."""
        trained = self.definition.trained(arm)
        return f"{trained}-{seed}-{self.definition.training(arm, seed)[:8]}"

    def model(self, arm, seed):
        """What is drawn with, below the folder."""
        tables = arm if "of" in self.definition.arms[arm] else None
        return f"{self.training(arm, seed)}/{f'{tables}.safetensors' if tables else MODEL}"

    def steps(self, arm, seed):
        """How many steps of a training its model has seen; 0: there is none."""
        try:
            with (self.path / self.training(arm, seed) / MODEL).open("rb") as file:
                (size,) = struct.unpack("<Q", file.read(8))
                metadata = json.loads(file.read(size))["__metadata__"]
        except FileNotFoundError:
            return 0
        return json.loads(metadata["softdiff"])["provenance"]["steps"]

    def seconds_path(self, folder):
        return self.path / folder / "seconds.json"

    def seconds(self, folder):
        """What was spent in a folder so far, by what it was spent for."""
        try:
            return json.loads(self.seconds_path(folder).read_text())
        except FileNotFoundError:
            return {}

    def spend(self, folder, what, seconds):
        spent = self.seconds(folder)
        spent[what] = round(spent.get(what, 0) + seconds, 2)
        whole_file.put(self.seconds_path(folder), json.dumps(spent) + "\n")

    def lock(self):
        """A file descriptor that holds the folder for this process and its children."""
        if self.path.is_relative_to(programs.ROOT):
            raise Refused(f'"{self.path}" is in the repository: --state names a folder elsewhere')
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as reason:
            raise Refused(f'somebody works in "{self.path}", perhaps a program that goes on after '
                          "its queue was killed: wait for it") from reason
        except OSError as reason:
            raise Refused(f'could not use "{self.path}": {reason.strerror}') from reason
        return lock

    def prepare_programs(self, build):
        """Copies them, the first time."""
        folder = self.path / "programs"
        if not folder.is_dir():
            programs.copy(build, folder)
        return folder

    def real(self):
        """The files of what real pictures measure, by features."""
        return {name: f"real-{name}.safetensors" for name in self.definition.features}

    def find_pictures(self, data):
        """The folder of pictures that are yet to be packed or measured, or None."""
        pictures = self.definition.pictures
        if all((self.path / file).exists() for file in (PACK, *self.real().values())):
            return None
        folder = data / pictures["folder"] if data else None
        if folder is None or not folder.is_dir():
            raise Refused((f'there is no "{folder}"' if folder else "there are no pictures yet")
                          + f': --data names the folder that has {pictures["folder"]}, '
                          f'{pictures["what"]}')
        return pathlib.Path(os.path.abspath(folder))

    def prepare_pictures(self, folder, runner, tell):
        """Packs the pictures of the folder and measures them, what of that is not there."""
        def run(*words):
            runner.run(words, self.path / "said.txt", lambda seconds: None)

        pack, side = self.path / PACK, self.definition.pictures["side"]
        if pack.exists():
            self.check(pack, pack)
        else:
            tell(f'"{folder}": its pictures are packed')
            new = self.path / f".{PACK}"
            run("softdiff-convert", "dataset", folder, new.name, "--side", side, "--threads", 1, "--force")
            try:
                self.check(new, folder)
                new.replace(pack)
            finally:
                new.unlink(missing_ok=True)
        for name, file in self.real().items():
            if not (self.path / file).exists():
                tell(f'"{folder}": its pictures are measured by {name}')
                run("softdiff-eval", "stats", folder, "--side", side, "--features", name, "--out", file,
                    "--threads", 1)

    def check(self, pack, source):
        """Numbers of other pictures must not get into the same tables."""
        found, wanted = sha256(pack)[:16], self.definition.pictures["digest"]
        if found != wanted:
            raise Refused(f'"{source}" is of other pictures than those of the definition: their digest '
                          f"is {found}, not {wanted}")
