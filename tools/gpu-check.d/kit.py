"""What tools/gpu-pack put together, and how its programs are run here."""

import glob
import os
import pathlib
import sys

# What the machine must have: NVIDIA's libraries, which are not in the archive.
LIBRARIES = ("libcudart.so.13", "libcudnn.so.9", "libcublas.so.13")
SYSTEM = "/usr/lib/x86_64-linux-gnu"  # where the loader looks by itself
FOLDERS = ("/usr/local/cuda*/lib64", "/usr/local/cuda*/targets/x86_64-linux/lib", SYSTEM)


class Kit:
    """The folder, and the device to check; describe() tells of it once it was opened."""

    def __init__(self, top, device, peers):
        self.top = top
        self.device = device
        self.peers = peers  # how many images are timed with torch, too
        self.text = ""
        self.simulated = False
        self.precisions = []
        self.environment = dict(os.environ)
        existing = self.environment.get("LD_LIBRARY_PATH")
        self.environment["LD_LIBRARY_PATH"] = ":".join(
            [str(top / "lib"), *library_folders(), *([existing] if existing else [])])

    def describe(self, text, precisions):
        self.text = text
        self.simulated = text.startswith("simulated ")
        self.precisions = precisions

    def n_workers(self):
        """How many programs that compute on processors, too, may run side by side."""
        return max(1, len(os.sched_getaffinity(0)) // 2)

    def gpu(self):
        """The name by which softdiff-bench --roofline knows it, or None."""
        names = ("H200", "H100", "B200", "A100", "L4", "T4")
        words = self.text.replace(",", " ").replace("-", " ").split()
        return next((name for name in names if name in words), None)

    def program(self, name):
        return self.top / "bin" / name

    def model(self):
        return self.top / "model.safetensors"

    def network(self, name):
        """The description of a network without weights."""
        return self.top / "networks" / f"{name}.json"


def library_folders():
    """Where NVIDIA's libraries are, in the order of the places to look at: also those of wheels."""
    places = [folder for pattern in FOLDERS for folder in sorted(glob.glob(pattern), reverse=True)]
    for site in sys.path:
        places += sorted(glob.glob(f"{site}/nvidia/*/lib"))
    found = []
    for library in LIBRARIES:
        at = next((place for place in places if pathlib.Path(place, library).exists()), None)
        if at and at != SYSTEM and at not in found:
            found.append(at)
    return found
