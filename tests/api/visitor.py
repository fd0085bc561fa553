"""A browser at the page of a daemon, and all that goes wrong in it."""
import contextlib
import pathlib
import re
import shutil
import time

import pytest
from softdiffd import PATIENCE_S

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
if not CHROMIUM:
    pytest.skip("no chromium on this machine: tools/packages clients", allow_module_level=True)

SET = 6  # pictures of a visit
PNG = "image/png"
PATIENCE_MS = 1000 * PATIENCE_S


@contextlib.contextmanager
def launch():
    with sync_api.sync_playwright() as playwright:
        # Root has no sandbox; containers have little shared memory.
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


class Visitor:
    """A page that is open, and all that went wrong in it."""

    def __init__(self, browser, daemon, delays=(), **options):
        self.daemon = daemon
        self.errors, self.urls = [], []
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda line: line.type == "error" and self.errors.append(line.text))
        self.page.on("request", lambda request: self.urls.append(request.url))
        for pattern, seconds in delays:
            self.page.route(pattern, lambda route: (time.sleep(seconds), route.continue_()))
        self.page.goto(daemon.url)

    def see(self, selector, text):
        sync_api.expect(self.page.locator(selector)).to_have_text(re.compile(text), timeout=PATIENCE_MS)

    def wait_for_set(self):
        """A server that was slow with its first picture is asked for no others; who comes again has it at once."""
        pictures = self.page.locator("#thumbs img[src]")
        for _ in range(5):
            self.see("#picture figcaption", "seed 1$")
            if pictures.count() == SET:
                break
            self.page.reload()
        sync_api.expect(pictures).to_have_count(SET, timeout=PATIENCE_MS)

    def wait_for_frames(self):
        sync_api.expect(self.page.locator("#way")).to_be_visible(timeout=PATIENCE_MS)

    def choose(self, seed="", nfe=None, count=1, sampler=None):
        if sampler:
            self.page.select_option("#sampler", sampler)
        if nfe:
            self.page.fill("#nfe", str(nfe))
        self.page.select_option("#count", str(count))
        self.page.fill("#seed", str(seed))

    def draw(self, **settings):
        self.choose(**settings)
        self.page.click("#go")

    def drawn(self):
        self.see("#told", r"^(1 picture|\d+ pictures) in ")

    def download(self):
        with self.page.expect_download() as download:
            self.page.click("#download")
        return download.value.suggested_filename, pathlib.Path(download.value.path()).read_bytes()


def visits(browser):
    """Opens pages of daemons; nothing may go wrong in them, and nothing come from elsewhere."""
    visitors = []

    def open_page(daemon, **options):
        visitors.append(Visitor(browser, daemon, **options))
        visitors[-1].expected = []
        return visitors[-1]

    yield open_page
    for visitor in visitors:
        elsewhere = [url for url in visitor.urls if not url.startswith((visitor.daemon.url, "data:", "blob:"))]
        unexpected = [text for text in visitor.errors if not any(re.search(known, text) for known in visitor.expected)]
        visitor.context.close()
        assert elsewhere == [] and unexpected == []
