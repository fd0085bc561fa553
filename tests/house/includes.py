"""Includes point one way: server, tools -> api, config, model -> engine -> engine/base; and a
library's headers are included in the folders that own the library.

usage: includes.py, in the root of the repository
"""

import sources
import tap

# Each folder and the folders whose headers it may include beside its own. The longest name that
# a path starts with is its folder.
MAY_INCLUDE = {
    "engine/base": (),
    "engine": ("engine/base",),
    "engine/communicator": ("engine", "engine/base"),
    "engine/host": ("engine/communicator", "engine", "engine/base"),
    "engine/cpu": ("engine/host", "engine", "engine/base"),
    "engine/cuda": ("engine/communicator", "engine", "engine/base"),
    "engine/reference": ("engine/host", "engine", "engine/base"),
    "model": ("engine", "engine/base"),
    # What the daemon does not have: the server is not among those that may include it.
    "model/fit": ("model", "engine", "engine/base"),
    "config": ("engine/base",),
    "api": ("api/pictures", "engine/base"),
    "api/pictures": ("engine/base",),
    "server": ("server/queue", "api", "api/pictures", "config", "model", "engine", "engine/base"),
    "server/queue": (),
    "tools": ("model", "engine", "engine/base"),
    "tools/bench": ("tools", "model", "engine", "engine/base"),
    "tools/convert": ("tools", "tools/pictures", "model", "model/fit", "engine", "engine/base"),
    "tools/eval": ("tools", "tools/pictures", "api/pictures", "model", "model/fit", "engine",
                   "engine/base"),
    "tools/inspect": ("tools", "model", "engine", "engine/base"),
    "tools/pictures": ("api/pictures", "model", "engine/base"),
    "tools/sample": ("tools", "tools/pictures", "model", "engine", "engine/base"),
    # Tables are made for the very data that samplers are judged on, schedules as trainings make them.
    "tools/schedule": ("tools", "tools/eval", "tools/pictures", "tools/train", "model", "model/fit",
                       "engine", "engine/base"),
    # The daemon's own queue decides in the simulation, too.
    "tools/simulate": ("tools", "server/queue", "model", "engine", "engine/base"),
    "tools/train": ("tools", "tools/pictures", "model", "model/fit", "engine/communicator", "engine",
                    "engine/base"),
}

# The one list of tables: it names every device.
EXCEPTIONS = {
    "engine/device_list.c": ("engine/cpu", "engine/cuda", "engine/reference"),
}

# Libraries by the start of their headers' names, and the folders that own them.
LIBRARIES = {
    "dnnl": ("engine/cpu",),
    "omp.h": ("engine/cpu",),
    "immintrin.h": ("engine/cpu",),
    "cuda": ("engine/cuda",),
    "cudnn": ("engine/cuda",),
    "nccl": ("engine/cuda",),
    "mma.h": ("engine/cuda",),
    "mpi.h": ("engine/communicator",),
    "lapack": ("model/fit",),
    "nettle": ("api", "model"),
    "jansson.h": ("engine/base", "model", "config", "api", "server", "tools", "tools/bench", "tools/convert", "tools/eval",
                  "tools/inspect", "tools/pictures", "tools/sample", "tools/schedule", "tools/simulate", "tools/train"),
    "png.h": ("api/pictures",),
    "zlib.h": ("api/pictures", "tools/pictures"),
    "jpeglib.h": ("api/pictures",),
    "jerror.h": ("api/pictures",),
    "lcms2": ("api/pictures",),
    "sqlite3.h": ("server",),
    "curl/": ("server",),
    "libpq-fe.h": ("server",),
    "systemd/sd-daemon.h": ("server",),
    "gmp": ("server",),
    "gnutls": ("server",),
    "uv.h": ("server",),
    "microhttpd.h": ("server",),
}

# The C library, and what Linux adds to it.
C_LIBRARY = {
    "assert.h", "complex.h", "ctype.h", "dirent.h", "dlfcn.h", "errno.h", "fcntl.h", "fenv.h", "float.h",
    "getopt.h", "inttypes.h", "libgen.h", "limits.h", "locale.h", "math.h", "netdb.h", "poll.h",
    "pthread.h", "pwd.h", "sched.h", "setjmp.h", "signal.h", "stdalign.h", "stdarg.h",
    "stdatomic.h", "stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h", "stdnoreturn.h",
    "string.h", "strings.h", "time.h", "unistd.h",
}
C_LIBRARY_FOLDERS = ("arpa/", "gnu/", "linux/", "net/", "netinet/", "sys/")


def folder_of(name):
    folders = [f for f in MAY_INCLUDE if name.startswith(f + "/")]
    return max(folders, key=len, default=None)


def wrong_includes(path):
    """The includes of a file that point the wrong way, with the reason."""
    name = str(path)
    folder = folder_of(name)
    allowed = MAY_INCLUDE[folder] + (folder,) + EXCEPTIONS.get(name, ())
    for header in sources.included(path, '"'):
        if folder_of(header) is None:
            yield f'"{header}" is not named from the root of the repository'
        elif folder_of(header) not in allowed:
            yield f'"{header}": {folder} may include {", ".join(allowed)} only'
    for header in sources.included(path, "<"):
        if header in C_LIBRARY or header.startswith(C_LIBRARY_FOLDERS):
            continue
        owners = [LIBRARIES[start] for start in LIBRARIES if header.startswith(start)]
        if not owners:
            yield f"<{header}> belongs to no library that this test knows"
        elif folder not in owners[0]:
            yield f"<{header}> belongs to {', '.join(owners[0])}"


def main():
    files = [path for path in sources.find(".c", ".h", ".cu") if path.parts[0] != "tests"]
    results = tap.Results(len(files))
    for path in files:
        wrong = list(wrong_includes(path))
        results.add(not wrong, str(path), "\n".join(wrong))
    results.finish()


main()
