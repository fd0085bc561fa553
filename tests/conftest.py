"""What every Python test may ask for: the programs of a build."""

import os
import pathlib
import signal

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent


def pytest_addoption(parser):
    parser.addoption("--build-dir", default="build", help="folder that meson built in")


def pytest_configure(config):
    """A shell's background jobs ignore SIGINT, those of nohup SIGHUP; what they start ignores it too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def build_dir(request):
    """The folder that meson built in, as an absolute path."""
    return ROOT / request.config.getoption("--build-dir")


@pytest.fixture(scope="session")
def program(build_dir):
    """Finds a built program by its name: program("softdiffd") is its path."""

    def find(name):
        folder = "server" if name == "softdiffd" else f"tools/{name.removeprefix('softdiff-')}"
        path = build_dir / folder / name
        if not path.is_file():
            raise FileNotFoundError(f'"{name}" is not built in "{build_dir}"')
        return path

    return find


@pytest.fixture
def cudasim(build_dir, monkeypatch):
    """For what runs on the simulated GPU (tests/cudasim): it has its own handler of wrong addresses,
    with a stack of its own, fibers, and the real cuDNN's libraries, which leak."""
    if not (build_dir / "tests/cudasim/softdiff-cudasim.so").exists():
        pytest.skip("built without CUDA")
    monkeypatch.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") + ":handle_segv=0:"
                       "use_sigaltstack=0:detect_leaks=0:detect_stack_use_after_return=0")
