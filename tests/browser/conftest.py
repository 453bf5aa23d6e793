"""A headless Chromium; nothing that a page asks for may leave this machine."""

import os
import shutil

import pytest

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="module")  # while it is open an event loop runs, which others cannot use
def browser():
    """Debian's or the user's own: Playwright's is a download that many networks refuse.

    GLIOMAKIT_BROWSER=required makes its absence a failure.
    """
    playwright = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        assert not os.environ.get("GLIOMAKIT_BROWSER"), "no Chromium here, and it is required"
        pytest.skip("no Chromium here")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=["desktop", "phone"])
def page(browser, request):
    """A page that keeps what it complained of (`problems`) and whom it asked (`asked`)."""
    width, scheme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=False
    )
    opened = context.new_page()
    opened.problems, opened.asked, opened.wide = [], [], width
    opened.on("console", lambda message: opened.problems.append(message.text))
    opened.on("pageerror", lambda error: opened.problems.append(str(error)))
    opened.on("request", lambda request: opened.asked.append(request.url))
    yield opened
    context.close()
