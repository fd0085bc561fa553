"""What serves needs no library that only training needs: LAPACK, BLAS and Fortran's runtime.

usage: libraries.py PROGRAM...

ldd tells what a program loads, its libraries' libraries included.
"""

import os
import re
import shutil
import subprocess
import sys

import tap

TRAINING = re.compile(r"lib(lapack|blas|cblas|openblas|atlas|gfortran|quadmath|mkl)\b|libmkl")


def main():
    if not shutil.which("ldd"):
        print("1..0 # SKIP no ldd")
        return
    results = tap.Results(len(sys.argv) - 1)
    for program in sys.argv[1:]:
        done = subprocess.run(["ldd", program], capture_output=True, text=True)
        loaded = [line.split()[0] for line in done.stdout.splitlines()]
        known = any(name.startswith("libc.so") for name in loaded)
        wrong = [name for name in loaded if TRAINING.match(name)]
        results.add(known and not wrong, os.path.basename(program),
                    done.stderr if not known else "loads " + ", ".join(wrong))
    results.finish()


main()
