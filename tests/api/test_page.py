"""The page at "/" in a browser: what a visit costs, drawing, the gallery, the way back from a picture."""
import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import requests
from softdiffd import png_text, wait_until
from visitor import PNG, SET, sync_api


def metric(daemon, name):
    text = requests.get(daemon.admin + "/metrics", timeout=60).text
    return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])


def idle(queue):
    return queue["slots_busy"] == 0 and not queue["requests"]


def test_the_document(start):
    """One document, under a policy that lets nothing else run; kept by browsers until it changes."""
    daemon = start()
    answer = daemon.get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy and policy.count("'sha256-") == 2
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert not re.search(r"(src|href)=\"(https?:)?//", answer.text)
    again = requests.get(daemon.url, headers={"If-None-Match": answer.headers["ETag"]}, timeout=60)
    assert again.status_code == 304 and again.content == b""


def test_a_visit_costs_one_small_set(start, visit):
    """That of the first visitor is that of all: the cache has it."""
    daemon = start()
    visit(daemon).wait_for_set()
    assert metric(daemon, "softdiff_images_total") == SET
    other = visit(daemon)
    other.wait_for_set()
    assert metric(daemon, "softdiff_images_total") == SET
    assert metric(daemon, "softdiff_response_cache_hits_total") == SET
    assert other.download()[1] == daemon.png(seed=1)


def test_a_visit_to_a_slow_server_costs_one_picture(start, visit):
    daemon = start()
    visitor = visit(daemon, delays=[("**/samples/1.png*", 2)])
    visitor.see("#picture figcaption", "seed 1$")
    visitor.page.wait_for_timeout(300)
    assert metric(daemon, "softdiff_images_total") == 1


def test_drawing(start, visit):
    daemon = start("--slots", "4", "--max-nfe", "2000")
    visitor = visit(daemon)
    visitor.wait_for_set()
    visitor.draw(seed=7, nfe=1000, count=2, sampler="momentum")
    visitor.wait_for_frames()
    visitor.drawn()
    for i in (0, 1):
        visitor.page.locator("#thumbs button").nth(i).click()
        visitor.see("#picture figcaption", f"seed {7 + i}$")
        name, png = visitor.download()
        assert name == f"faces-{7 + i}.png"
        assert png == daemon.png(seed=7 + i, nfe=1000, sampler="momentum")
    # Back in time, by the keyboard.
    visitor.page.focus("#frame")
    last = visitor.page.get_attribute("#picture img", "src")
    visitor.page.keyboard.press("Home")
    visitor.see("#frame-text", r"^\d+ of 1000$")
    first = visitor.page.get_attribute("#picture img", "src")
    assert first.startswith("data:image/png") and first != last
    assert visitor.page.get_attribute("#way img", "src") not in (first, last)
    visitor.page.keyboard.press("ArrowRight")
    assert visitor.page.get_attribute("#picture img", "src") != first
    visitor.page.keyboard.press("End")
    assert visitor.page.get_attribute("#picture img", "src") == last
    visitor.see("#frame-text", "^1000 of 1000$")
    visitor.page.click("#play")
    visitor.see("#frame-text", "^1000 of 1000$")


def test_clicks_in_a_hurry(start, visit):
    """Each takes the place of the one before, whose work is dropped."""
    daemon = start("--slots", "2", "--max-nfe", "10000", models=("slow",))
    visitor = visit(daemon)
    visitor.wait_for_set()
    for seed in range(5):
        visitor.draw(seed=seed, nfe=10000, count=2)
    visitor.draw(seed=77, nfe=2, count=1)
    visitor.drawn()
    visitor.see("#picture figcaption", "seed 77$")
    daemon.wait_for_queue(idle, "an idle daemon")
    sync_api.expect(visitor.page.locator("#kept li")).to_have_count(1)


def test_cancel(start, visit):
    daemon = start("--slots", "2", "--max-nfe", "10000", models=("slow",))
    visitor = visit(daemon)
    visitor.wait_for_set()
    visitor.draw(seed=1, nfe=10000, count=2)
    visitor.wait_for_frames()
    visitor.page.click("#cancel")
    daemon.wait_for_queue(idle, "an idle daemon")
    visitor.see("#told", "^Cancelled$")
    visitor.see("#go", "^Draw$")
    assert visitor.page.evaluate("document.activeElement.id") == "go"
    assert visitor.page.locator("#kept li").count() == 0


def test_place_in_the_queue(start, visit):
    daemon = start("--slots", "1", "--max-nfe", "10000", models=("slow",))
    visitor = visit(daemon)
    visitor.wait_for_set()
    others = []
    for seed in range(3):  # one has the lane, and the fair queue lets each in turn have it
        others.append(daemon.connect_and_send({"seed": seed, "nfe": 10000}))
        daemon.wait_for_queue(lambda queue, n=seed + 1: len(queue["requests"]) == n, "a request")
    visitor.draw(seed=7, nfe=2)
    visitor.see("#told", r"^Number 3 in the queue$")
    for connection in others:
        connection.close()
    visitor.drawn()


def test_a_refusal_is_told(start, visit):
    daemon = start("--slots", "1", "--max-queue", "0", "--max-nfe", "10000", models=("slow",))
    visitor = visit(daemon)
    visitor.expected = ["503"]
    visitor.see("#picture figcaption", "seed 1$")
    daemon.wait_for_queue(idle, "an idle daemon")
    with daemon.connect_and_send({"nfe": 10000}):
        daemon.wait_for_queue(lambda queue: queue["slots_busy"] == 1, "a full daemon")
        visitor.draw(seed=1, nfe=2)
        visitor.see("#trouble", r"Try again in \d+ s\.$")
    daemon.wait_for_queue(idle, "an idle daemon")
    visitor.page.click("#go")
    visitor.drawn()
    visitor.see("#trouble", "^$")


def test_what_cannot_be_asked_is_not(start, visit):
    """The browser tells what is wrong with a field, and nothing is sent."""
    daemon = start()
    visitor = visit(daemon)
    visitor.wait_for_set()
    for seed in ("-1", "1e3", str(2**64), "7x"):
        visitor.draw(seed=seed, nfe=2)
        assert not visitor.page.evaluate("document.getElementById('draw').checkValidity()")
    for nfe, taken in [("0", "1"), ("99999999", "1000"), ("2.6", "3")]:
        visitor.page.fill("#nfe", nfe)
        visitor.page.keyboard.press("Tab")
        assert visitor.page.input_value("#nfe") == taken
    assert metric(daemon, "softdiff_images_total") == SET
    visitor.draw(seed=2**64 - 1, nfe=2, count=2)
    visitor.drawn()
    visitor.see("#picture figcaption", "seed 18446744073709551615$")
    visitor.page.locator("#thumbs button").nth(1).click()
    visitor.see("#picture figcaption", "seed 0$")


def test_the_gallery_stays(start, visit):
    daemon = start()
    visitor = visit(daemon)
    visitor.wait_for_set()
    visitor.draw(seed=40, nfe=3, count=4)
    visitor.drawn()
    sync_api.expect(visitor.page.locator("#kept li")).to_have_count(4)
    n = metric(daemon, "softdiff_images_total")
    visitor.page.reload()
    sync_api.expect(visitor.page.locator("#kept li")).to_have_count(4)
    visitor.wait_for_set()
    visitor.page.get_by_label("seed 42").click()
    visitor.see("#picture figcaption", "seed 42$")
    assert visitor.download()[1] == daemon.png(seed=42, nfe=3)
    visitor.page.click("#reuse")
    assert visitor.page.input_value("#seed") == "42" and visitor.page.input_value("#nfe") == "3"
    assert metric(daemon, "softdiff_images_total") == n + 1  # that of this test
    visitor.page.click("#forget")
    sync_api.expect(visitor.page.locator("#kept li")).to_have_count(0)
    visitor.page.reload()
    visitor.wait_for_set()
    sync_api.expect(visitor.page.locator("#kept li")).to_have_count(0)


def test_a_picture_brings_its_settings_back(start, visit, tmp_path):
    daemon = start(models=("faces", "blurred"))
    png = daemon.png(model="blurred", seed=2**63, nfe=17, sampler="momentum")
    visitor = visit(daemon)
    visitor.wait_for_set()

    def settings():
        return [visitor.page.input_value(field) for field in ("#model", "#seed", "#nfe", "#sampler", "#count")]

    expected = ["blurred", str(2**63), "17", "momentum", "1"]
    visitor.page.set_input_files("#file", {"name": "a.png", "mimeType": PNG, "buffer": png})
    visitor.see("#told", "settings are back")
    assert settings() == expected
    visitor.page.click("#go")
    visitor.drawn()
    assert visitor.download()[1] == png
    # Dropped on the page.
    visitor.choose(seed=1, nfe=2)
    visitor.page.evaluate("""base64 => {
        const data = Uint8Array.from(atob(base64), c => c.charCodeAt(0)), transfer = new DataTransfer();
        transfer.items.add(new File([data], "b.png", {type: "image/png"}));
        for (const type of ["dragover", "drop"])
            document.body.dispatchEvent(new DragEvent(type, {dataTransfer: transfer, bubbles: true, cancelable: true}));
    }""", base64.b64encode(png).decode())
    visitor.see("#told", "settings are back")
    assert settings() == expected
    # One of a model that is not here, and what is none.
    digits = json.loads(png_text(png)["softdiff:params"])["checkpoint"][:8]
    other = daemon.png(model="blurred", seed=1).replace(digits.encode(), b"00000000")
    visitor.page.set_input_files("#file", {"name": "c.png", "mimeType": PNG, "buffer": other})
    visitor.see("#trouble", "does not have its checkpoint")
    for data in (b"", b"\x89PNG\r\n\x1a\n", png[:200], b"text"):
        visitor.page.set_input_files("#file", {"name": "d.png", "mimeType": PNG, "buffer": data})
        visitor.see("#trouble", "^d.png is no picture")


def test_code_that_draws_it_again(start, visit, tmp_path):
    daemon = start()
    visitor = visit(daemon)
    visitor.wait_for_set()
    visitor.draw(seed=9, nfe=5)
    visitor.drawn()
    png = visitor.download()[1]
    visitor.page.click("#share")
    link, curl, python = (visitor.page.input_value(f"#as-{name}") for name in ("link", "curl", "python"))
    visitor.page.keyboard.press("Escape")
    assert not visitor.page.is_visible("#code")
    assert requests.get(link, timeout=60).content == png
    commands = [["sh", "-c", curl]] if shutil.which("curl") else []
    for command in (*commands, [sys.executable, "-c", python]):
        subprocess.run(command, cwd=tmp_path, check=True, timeout=60,
                       env={k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")})
        assert (tmp_path / "faces-9.png").read_bytes() == png
        (tmp_path / "faces-9.png").unlink()


def test_a_server_that_wants_a_key(start, visit, tmp_path):
    """It is asked for, kept for the tab, and goes along with every request."""
    file = tmp_path / "keys"
    file.write_text(f"alice {hashlib.sha256(b'secret-of-alice').hexdigest()}\n")
    visitor = visit(start("--api-key-file", str(file)))
    visitor.expected = ["401"]
    visitor.see("#trouble", "key")
    visitor.page.fill("#key", "wrong")
    visitor.page.keyboard.press("Enter")
    visitor.see("#trouble", "key")
    visitor.page.fill("#key", "secret-of-alice")
    visitor.page.keyboard.press("Enter")
    visitor.wait_for_set()
    visitor.draw(seed=3, nfe=2)
    visitor.drawn()
    visitor.see("#trouble", "^$")
    visitor.page.reload()
    visitor.wait_for_set()


NAME = """element => {
    const labels = [...(element.labels || [])].map(label => label.textContent);
    return (element.getAttribute("aria-label") || labels.join(" ") || element.textContent).trim();
}"""


def test_by_keyboard_alone(start, visit):
    """All that can be pressed is reached by Tab, has a name, and shows that it has the focus."""
    daemon = start()
    visitor = visit(daemon)
    page = visitor.page
    visitor.wait_for_set()
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        element = page.evaluate_handle("document.activeElement")
        if element.evaluate("element => element === document.body"):
            break
        assert element.evaluate(NAME), element.evaluate("element => element.outerHTML")
        box = element.evaluate("element => element.getBoundingClientRect().toJSON()")
        assert box["width"] > 1 and box["height"] > 1
        assert element.evaluate("element => getComputedStyle(element).outlineStyle") != "none"
        reached.append(element.evaluate("element => element.id || element.parentElement.parentElement.id"))
    for id in ("model", "seed", "dice", "next", "seed-b", "dice-b", "count", "background", "sampler", "nfe-slider", "nfe", "go", "download",
               "share", "reuse", "watch", "open", "theme", "thumbs"):
        assert id in reached, id
    # A drawing from the seed to the picture.
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the link that skips
    while page.evaluate("document.activeElement.id") != "seed":
        page.keyboard.press("Tab")
    page.keyboard.type("123")
    page.keyboard.press("Enter")
    visitor.drawn()
    assert "seed 123" in page.text_content("#picture figcaption")


def test_between_two_seeds(start, visit):
    """One of them, or all of the way; the file, its settings and the code that draws it say so."""
    daemon = start()
    visitor = visit(daemon)
    page = visitor.page
    visitor.wait_for_set()
    assert not page.is_visible("#mix-row")
    visitor.choose(seed=7, nfe=3, count=2)
    page.fill("#seed-b", str(2**64 - 1))
    page.fill("#mix", "30")
    page.click("#go")
    visitor.drawn()
    for i, other in enumerate((2**64 - 1, 0)):
        page.locator("#thumbs button").nth(i).click()
        visitor.see("#picture figcaption", f"seed {7 + i}, 30 % of seed {other}$")
        name, png = visitor.download()
        assert name == f"faces-{7 + i}-{other}-0.3.png"
        assert png == daemon.png(seed=7 + i, seed_b=other, mix=0.3, nfe=3)
    page.click("#share")
    assert requests.get(page.input_value("#as-link"), timeout=60).content == png
    assert '"seed_b":"0","mix":0.3' in page.input_value("#as-curl")
    page.keyboard.press("Escape")
    # All of the way, whose ends are the seeds' own.
    visitor.choose(seed=7, nfe=3, count=1)
    page.fill("#seed-b", "9")
    page.check("#whole-way")
    assert page.input_value("#count") == "8" and page.is_disabled("#mix")
    page.select_option("#count", "4")
    page.click("#go")
    visitor.see("#told", "^4 pictures in ")
    for i, words in enumerate(("seed 7$", "seed 7, 33.3 % of seed 9$", "seed 7, 66.7 % of seed 9$", "seed 9$")):
        page.locator("#thumbs button").nth(i).click()
        visitor.see("#picture figcaption", words)
        assert visitor.download()[1] == daemon.png(seed=7, seed_b=9, mix=i / 3, nfe=3)
    # A picture brings its second seed back; one that has none takes it away.
    for data, second in ((png, "0"), (daemon.png(seed=1, nfe=2), "")):
        page.set_input_files("#file", {"name": "a.png", "mimeType": PNG, "buffer": data})
        visitor.see("#told", "settings are back")
        assert page.input_value("#seed-b") == second and page.is_visible("#mix-row") == bool(second)
    page.fill("#seed-b", str(2**64))
    assert not page.evaluate("document.getElementById('draw').checkValidity()")
    page.check("#kind input[value=restore]")
    assert not page.is_visible("#mix-field")


def test_the_way_is_left_half_done(start, visit):
    """What was drawn of it stays."""
    daemon = start("--slots", "2", "--max-nfe", "10000", models=("faces", "slow"))
    visitor = visit(daemon)
    visitor.wait_for_set()
    visitor.choose(seed=7, nfe=2, count=4)
    visitor.page.fill("#seed-b", "9")
    visitor.page.check("#whole-way")
    third = []

    def slow_down(route):
        body = route.request.post_data_json
        third.append(body["mix"])
        route.continue_(post_data=json.dumps(body | ({"nfe": 10000, "model": "slow"} if len(third) == 3 else {})))

    visitor.page.route("**/v1/samples", slow_down)
    visitor.page.click("#go")
    visitor.see("#told", "^Picture 3 of 4, step")
    visitor.page.click("#cancel")
    visitor.see("#told", "^Cancelled$")
    daemon.wait_for_queue(idle, "an idle daemon")
    sync_api.expect(visitor.page.locator("#kept li")).to_have_count(2)
    assert third[:3] == [0, pytest.approx(1 / 3), pytest.approx(2 / 3)] and len(third) == 3


def test_others_go_first(start, visit):
    daemon = start("--slots", "1", "--max-nfe", "10000", models=("slow",))
    visitor = visit(daemon)
    visitor.wait_for_set()
    daemon.wait_for_queue(idle, "an idle daemon")
    with daemon.connect_and_send({"nfe": 10000}):
        daemon.wait_for_queue(lambda queue: queue["slots_busy"] == 1, "somebody who waits")
        visitor.page.check("#background")
        visitor.draw(seed=7, nfe=2)
        daemon.wait_for_queue(lambda q: {r["priority"] for r in q["requests"]} == {"interactive", "background"}, "it")
    visitor.drawn()


def test_the_limits_are_the_models(start, visit):
    """What the form offers is what the model at hand takes."""
    daemon = start("--model-limits", "blurred:max-images=3:max-nfe=40", models=("faces", "blurred"))
    visitor = visit(daemon)
    page = visitor.page
    visitor.wait_for_set()

    def counts():
        return page.locator("#count option").all_text_contents()

    assert counts() == ["1", "2", "4", "8", "16", "32", "64"]
    page.fill("#nfe", "500")
    page.select_option("#model", "blurred")
    assert counts() == ["1", "2", "3"] and page.input_value("#count") == "3"
    visitor.see("#model-note", "up to 3 pictures of 40 evaluations")
    page.fill("#nfe", "41")
    page.keyboard.press("Tab")
    assert page.input_value("#nfe") == "40"
    page.fill("#nfe-slider", "1000")
    assert page.input_value("#nfe") == "40"
    page.fill("#seed", "5")
    page.click("#go")
    visitor.drawn()
    # Of a picture that another daemon drew with more.
    png = daemon.png(model="blurred", seed=1, nfe=30)
    more = png.replace(b'"nfe":30', b'"nfe":90')
    page.set_input_files("#file", {"name": "a.png", "mimeType": PNG, "buffer": more})
    visitor.see("#trouble", "90 evaluations are not to be had here")
    assert page.input_value("#nfe") == "40"


def test_a_refusal_is_in_words(start, visit):
    """Where the limits have become smaller since the visit."""
    daemon = start("--max-nfe", "40")
    visitor = visit(daemon)
    visitor.expected = ["422"]
    visitor.wait_for_set()
    visitor.page.route("**/v1/samples", lambda route: route.continue_(
        post_data=json.dumps(route.request.post_data_json | {"nfe": 41, "seed_b": "x"})))
    visitor.draw(seed=7, nfe=40)
    visitor.see("#trouble", "number of evaluations must be an integer from 1 to 40")
    visitor.see("#trouble", "second seed must be an integer from 0 to 18446744073709551615")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 400, 1400])
def test_nothing_is_cut_off(start, visit, scheme, width, tmp_path):
    """Fits its window, and what axe finds wrong with it is nothing. SCREENSHOTS names a folder to look at."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    daemon = start()
    visitor = visit(daemon, viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
    visitor.wait_for_set()
    visitor.page.fill("#seed-b", "9")
    visitor.draw(seed=5, nfe=20, count=4)
    visitor.drawn()
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= width
    if folder := os.environ.get("SCREENSHOTS"):
        visitor.page.screenshot(path=f"{folder}/{width}-{scheme}.png", full_page=True)
    found = axe.Axe().run(visitor.page)
    assert found.response["violations"] == [], found.generate_report()
    visitor.page.click("#share")
    found = axe.Axe().run(visitor.page)
    assert found.response["violations"] == [], found.generate_report()


def test_who_wants_no_motion(start, visit):
    """Sees a new frame every now and then only."""
    daemon = start("--max-nfe", "10000")
    visitor = visit(daemon, reduced_motion="reduce")
    visitor.wait_for_set()
    visitor.page.evaluate("""() => {
        window.changes = 0;
        new MutationObserver(records => window.changes += records.length)
            .observe(document.querySelector("#picture img"), {attributeFilter: ["src"]});
    }""")
    visitor.draw(seed=5, nfe=1000)
    visitor.drawn()
    seconds = wait_until(lambda: visitor.page.text_content("#told"), "an end")
    changes = visitor.page.evaluate("window.changes")
    spent = float(re.search(r"([\d.]+) (ms|s)", seconds)[1]) * (0.001 if " ms" in seconds else 1)
    assert changes <= 4 + spent / 0.7
