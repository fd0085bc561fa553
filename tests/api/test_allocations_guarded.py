"""Each allocation fails in turn where requests come with keys, over TLS, and where what lets them in is read again: as
test_allocations.py says, and who was let in is let in."""
import os

import pytest
from certificates import Authority, Files
from failing_allocations import Allocations
from test_allocations import DRAWN, FLAGS, Request, Sweep, document, png, restoration
from test_keys import line
from test_webhooks import SECRETS

ALICE = {"Authorization": "Bearer alice"}


class Guarded:
    """A daemon, and the files that say whom it lets in, of which there are two kinds."""

    def __init__(self, start, allocations, folder):
        authority = Authority(folder)
        self.pairs = [authority.issue(), authority.issue()]
        self.files = Files(folder, self.pairs[0])
        self.keys, self.secrets = folder / "keys", folder / "secrets"
        self.n_written, self.root = 0, authority.root
        self.write()
        flags = ("--api-key-file", self.keys, "--webhook-secrets", self.secrets, "--webhook-allow", "https://a.example/",
                 *self.files.flags)  # fmt: skip
        self.daemon = start(*FLAGS, *flags, models=("faces", "blurred"), env=dict(os.environ) | allocations.environment)
        self.daemon.url = self.daemon.url.replace("http://127.0.0.1", "https://localhost")

    def write(self):
        """Others than are there."""
        n = self.n_written % 2
        self.n_written += 1
        self.files.write(*self.pairs[n])
        some = [f"some{i}" for i in range(3 * n)]
        self.keys.write_text(line("alice", "alice") + line("bob", "bob", "rate=1000000/m", "concurrent=2") +
                             line("carol", "carol", "rate=1/h") + "".join(line(name, name) for name in some))  # fmt: skip
        self.secrets.write_text("".join(f"{secret}\n" for secret in SECRETS[: 1 + n]))


@pytest.fixture
def allocations(build_dir, tmp_path):
    return Allocations(build_dir, tmp_path)


@pytest.fixture
def guarded(start, allocations, tmp_path, monkeypatch):
    made = Guarded(start, allocations, tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(made.root))
    return made


def requests_of(daemon):
    drawn = daemon.post(DRAWN, accept="image/png", **ALICE).content
    bob = {"Authorization": "Bearer bob"}
    return {
        "verify": Request("POST", "/v1/verify", drawn, document, Content_Type="image/png"),
        "verify another": Request("POST", "/v1/verify", png(), document, Content_Type="image/png"),
        "with limits": Request("POST", "/v1/samples", DRAWN, Accept="image/png", **bob),
        "too many": Request("POST", "/v1/samples", DRAWN, document, Authorization="Bearer carol"),
        "with a restoration": restoration(png(), degradation="noise", std=0.1),
        "unknown": Request("GET", "/v1/models", same=document, Authorization="Bearer mallory"),
        "metrics": Request("GET", "/metrics", same=lambda answer: len(answer.text) > 1000, admin=True),
    }


def sweep_all(guarded, allocations, most):
    sweep = Sweep(guarded.daemon, allocations, most, **ALICE)
    models = Request("GET", "/v1/models")

    def fault_after():
        answer = sweep.send(models)
        return None if answer is not None and answer.status_code == 200 else f"she is not let in: {answer}"

    for name, request in requests_of(guarded.daemon).items():
        sweep.run(name, request)
    # Without memory to read certificates GnuTLS 3.7 writes into what it has not got, or says that they are bad.
    allocations.spare("/libgnutls.")
    reload = Request("POST", "/-/reload", b"", document, admin=True)
    sweep.run("reload of what is there", reload, None, fault_after)
    sweep.run("reload", reload, guarded.write, fault_after)
    sweep.end()


def test_some_with_keys_and_certificates(guarded, allocations):
    sweep_all(guarded, allocations, 3)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_with_keys_and_certificates(guarded, allocations):
    sweep_all(guarded, allocations, None)
