"""Small real checkpoints, and daemons that serve them."""
import subprocess

import pytest
from softdiffd import Daemon


@pytest.fixture(scope="session")
def checkpoints(build_dir, tmp_path_factory):
    """Paths by name: faces (noise), blurred (blur); slow and minutes, larger, for the slow device."""
    folder = tmp_path_factory.mktemp("checkpoints")
    made = {}
    for name, corruption, side, nf in [
        ("faces", "noise", 16, 8),
        ("blurred", "blur", 16, 16),
        ("slow", "noise", 32, 24),
        ("minutes", "noise", 64, 64),
    ]:
        made[name] = str(folder / f"{name}.safetensors")
        maker = build_dir / "tests/api/make_checkpoint"
        subprocess.run([maker, made[name], corruption, str(side), str(nf), "1"], check=True)
    return made


@pytest.fixture
def start(program, checkpoints):
    """Starts daemons that end with the test. Default: faces alone. script: what starts the daemon itself."""
    daemons = []

    def start_daemon(*flags, models=("faces",), wait=True, script=None, **options):
        named = [word for name in models for word in ("--model", f"{name}={checkpoints[name]}")]
        daemons.append(Daemon(script or program("softdiffd"), *named, *flags, wait=wait, **options))
        return daemons[-1]

    yield start_daemon
    for daemon in daemons:
        if daemon.process.poll() is None:
            daemon.stop()
        else:
            daemon.wait_for_exit()


@pytest.fixture(scope="module")
def daemon(program, checkpoints):
    """One daemon with two models, shared by the tests of a file that leave it as it was."""
    models = [f"{name}={checkpoints[name]}" for name in ("faces", "blurred")]
    flags = ["--model", models[0], "--model", models[1], "--slots", "8", "--max-nfe", "200"]
    shared = Daemon(program("softdiffd"), *flags)
    yield shared
    shared.stop()


@pytest.fixture(scope="session")
def browser():
    """Chromium; tests of the page are skipped where there is none."""
    import visitor

    with visitor.launch() as launched:
        yield launched


@pytest.fixture
def visit(browser):
    """Opens the page of a daemon."""
    import visitor

    yield from visitor.visits(browser)
