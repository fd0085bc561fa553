"""Restoring a photo on the page: it is dropped or chosen, painted over, sent, and comes back whole."""
import base64
import io
import os

import numpy
import pytest
from PIL import Image
from visitor import sync_api

SIDE = 16


def photo(width=640, height=480, kind="JPEG"):
    """A picture that is nothing special, with a border that a crop would take away."""
    y, x = numpy.mgrid[0:height, 0:width]
    rgb = numpy.stack([x * 255 // width, y * 255 // height, 128 + 0 * x], axis=2)
    out = io.BytesIO()
    Image.fromarray(numpy.uint8(rgb)).save(out, kind)
    return out.getvalue()


def drop(visitor, name, data, kind="image/jpeg"):
    visitor.page.evaluate("""([base64, name, type]) => {
        const data = Uint8Array.from(atob(base64), c => c.charCodeAt(0)), transfer = new DataTransfer();
        transfer.items.add(new File([data], name, {type}));
        for (const event of ["dragover", "drop"])
            document.body.dispatchEvent(new DragEvent(event, {dataTransfer: transfer, bubbles: true, cancelable: true}));
    }""", [base64.b64encode(data).decode(), name, kind])
    visitor.see("#photo-name", f"^{name}$")


def pixels_of(png):
    return numpy.asarray(Image.open(io.BytesIO(png)).convert("RGB"), float)


def seen(visitor):
    """The photo as the canvas shows it, at the model's size."""
    url = visitor.page.evaluate("document.querySelector('#photo canvas').toDataURL()")
    image = Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB")
    return numpy.asarray(image.resize((SIDE, SIDE), Image.BOX), float)


def restore(visitor, **settings):
    visitor.choose(**settings)
    visitor.page.click("#go")
    visitor.drawn()


def test_what_is_painted_over_is_drawn_anew(start, visit):
    daemon = start(models=("blurred",))
    visitor = visit(daemon)
    visitor.wait_for_set()
    drop(visitor, "holiday.jpg", photo())
    assert visitor.page.is_checked("#kind input[value=restore]")
    before = seen(visitor)
    # Nothing is asked for before it can be.
    visitor.page.click("#go")
    visitor.see("#trouble", "^Paint over what is missing first")
    box = visitor.page.locator("#photo canvas").bounding_box()
    visitor.page.fill("#brush", "20")
    at = lambda x, y: (box["x"] + x * box["width"], box["y"] + y * box["height"])
    visitor.page.mouse.move(*at(0.25, 0.5))
    visitor.page.mouse.down()
    visitor.page.mouse.move(*at(0.75, 0.5), steps=5)
    visitor.page.mouse.up()
    restore(visitor, seed=3, nfe=6, count=2)
    visitor.see("#picture figcaption", "^restored by blurred, seed 3$")
    assert not visitor.page.is_visible("#share") and not visitor.page.is_visible("#watch")
    results = []
    for i in (0, 1):
        visitor.page.locator("#thumbs button").nth(i).click()
        results.append(pixels_of(visitor.download()[1]))
    away = numpy.abs(results[0] - before).max(axis=2)
    assert away[:5].max() < 12 and away[11:].max() < 12  # what is known stays, but for the browser's JPEG
    assert numpy.abs(results[0] - results[1])[:5].max() == 0
    assert numpy.abs(results[0] - results[1])[7:9, 4:12].max() > 30
    # It is kept, is shown again, and the gallery knows it for what it is.
    sync_api.expect(visitor.page.locator("#kept li")).to_have_count(2)
    visitor.page.reload()
    visitor.page.get_by_label("restored by blurred, seed 4").click()
    visitor.see("#picture figcaption", "^restored by blurred, seed 4$")
    assert (pixels_of(visitor.download()[1]) == results[1]).all()


def test_a_blur_is_estimated_or_told(start, visit):
    daemon = start(models=("faces", "blurred"))
    visitor = visit(daemon)
    visitor.wait_for_set()
    visitor.page.set_input_files("#photo-file", {"name": "a.png", "mimeType": "image/png", "buffer": photo(kind="PNG")})
    visitor.see("#photo-name", "^a.png$")
    visitor.page.select_option("#model", "blurred")
    visitor.page.select_option("#degradation", "blur")
    visitor.see("#std-note", "undoes up to ")
    assert not visitor.page.is_visible("#brush")
    restore(visitor, seed=1, nfe=2)
    visitor.see("#told", r"with a std of [\d.]+ estimated$")
    png = visitor.download()[1]
    most = float(visitor.page.get_attribute("#std", "max"))
    visitor.page.fill("#std", str(most * 2))
    visitor.page.click("#go")
    assert not visitor.page.evaluate("document.getElementById('draw').checkValidity()")  # and nothing is sent
    visitor.page.fill("#std", "1")
    restore(visitor, seed=1, nfe=2)
    visitor.see("#told", r"pictures? in [\d.]+ m?s$")
    # A model that undoes noise has no such limit of blurs.
    visitor.page.select_option("#model", "faces")
    assert "undoes up to" not in visitor.page.text_content("#std-note")
    # What was restored brings its settings back, if the page is not waiting for a photo.
    visitor.page.check("#kind input[value=draw]")
    visitor.page.set_input_files("#file", {"name": "b.png", "mimeType": "image/png", "buffer": png})
    visitor.see("#told", "With the photo that it was made of")
    assert visitor.page.input_value("#model") == "blurred" and visitor.page.input_value("#degradation") == "blur"


def test_by_keyboard(start, visit):
    """The brush moves by arrow keys, and paints."""
    visitor = visit(start(models=("blurred",)))
    visitor.wait_for_set()
    drop(visitor, "a.jpg", photo())
    before = seen(visitor)
    visitor.page.focus("#photo canvas")
    for key in ("ArrowUp", "ArrowUp", "Space", "Shift+ArrowRight", "Shift+ArrowRight"):
        visitor.page.keyboard.press(key)
    visitor.page.focus("#seed")
    changed = numpy.abs(seen(visitor) - before).max(axis=2) > 40
    assert changed[6:8, 7:10].all() and not changed[12:].any() and not changed[:, :4].any()
    visitor.page.click("#clear-mask")
    assert numpy.abs(seen(visitor) - before).max() == 0
    visitor.page.click("#middle")
    restore(visitor, seed=1, nfe=2)


def test_photos_that_cannot_be(start, visit):
    visitor = visit(start())
    visitor.wait_for_set()
    visitor.page.check("#kind input[value=restore]")
    visitor.page.click("#go")
    visitor.see("#trouble", "^Choose a photo first")
    visitor.page.set_input_files("#photo-file", {"name": "a.png", "mimeType": "image/png", "buffer": b"text"})
    visitor.see("#trouble", "^a.png is no picture")
    # One that the server would refuse is made smaller before.
    drop(visitor, "large.webp", photo(3000, 2000, "WEBP"), "image/webp")
    visitor.page.select_option("#degradation", "noise")
    visitor.page.fill("#std", "0.05")
    restore(visitor, seed=1, nfe=2)


WINDOWS = [(320, "light"), (400, "dark"), (1400, "light")] + [(400, "light"), (1400, "dark")] * ("SCREENSHOTS" in os.environ)


@pytest.mark.parametrize("width, scheme", WINDOWS)
def test_nothing_is_cut_off(start, visit, width, scheme):
    """As in test_page.py; SCREENSHOTS names a folder to look at, PHOTO and MODEL what is to be seen there."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    model = os.environ.get("MODEL")
    daemon = start("--model", f"zoo={model}", models=("faces", "blurred")) if model else start(models=("faces", "blurred"))
    visitor = visit(daemon, viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
    visitor.wait_for_set()
    drop(visitor, "a.jpg", open(os.environ["PHOTO"], "rb").read() if "PHOTO" in os.environ else photo())
    if model:
        visitor.page.select_option("#model", "zoo")
    visitor.page.click("#middle")
    restore(visitor, seed=5, nfe=20, count=4)
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= width
    if folder := os.environ.get("SCREENSHOTS"):
        visitor.page.screenshot(path=f"{folder}/restore-{width}-{scheme}.png", full_page=True)
    found = axe.Axe().run(visitor.page)
    assert found.response["violations"] == [], found.generate_report()
    visitor.page.select_option("#degradation", "blur")
    found = axe.Axe().run(visitor.page)
    assert found.response["violations"] == [], found.generate_report()
