"""The page at "/": it draws what is asked for and nothing else, and shows the last of it."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

if not shutil.which("node"):
    pytest.skip("no node on this machine", allow_module_level=True)


@pytest.fixture
def visit(start, tmp_path):
    """Runs a scenario of page.js and tells what happened."""
    daemon = start("--slots", "2", "--max-nfe", "10000")
    script = tmp_path / "page.js"
    script.write_text(re.search(r"<script>\n(.*)</script>", daemon.get("/").text, re.DOTALL)[1])
    runner = pathlib.Path(__file__).with_name("page.js")

    def run(scenario):
        done = subprocess.run(
            ["node", runner, script, daemon.url, scenario],
            capture_output=True, text=True, timeout=60, env=os.environ | {"ADMIN": daemon.admin},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_a_visit_draws_nothing(visit):
    events = visit("visit")
    assert events["posts"] == 0 and events["shown"] == []
    assert events["said"] == ["ready"]


def test_clicks_in_a_hurry(visit):
    """Each takes the place of the one before: its work is dropped, and its answer shows nothing."""
    events = visit("hurry")
    assert events["posts"] == 6 and events["aborted"] == 5 and events["answered"] == 1
    assert events["shown"] == [["seed 7", "seed 8"]]
    assert events["said"][-1].startswith("2 images in ")
    assert events["busy_after"][-1] == 0


def test_a_mistake_is_told(visit):
    events = visit("error")
    assert any(text.startswith("the request has fields") and "seed" in text for text in events["said"])
    assert events["shown"] == [["seed 8", "seed 9"]]
