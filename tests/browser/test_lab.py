"""A lesson in JupyterLab: opened, one cell run, a slider moved, the picture changes."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest

from gliomakit.course import build

pytestmark = pytest.mark.browser

TOKEN = "of-this-test"
LESSON, CELL = "06_train", "rate_explorer()"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on 127.0.0.1, over a folder with the lesson as its source makes it."""
    folder = tmp_path_factory.mktemp("lab")
    (lesson,) = [one for one in build.select(build.here(), None) if one.name == LESSON]
    nbformat.write(build.notebook(lesson, "stubs"), folder / f"{LESSON}.ipynb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    own = {name: str(folder / "jupyter" / name.lower()) for name in names}
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"),
        *(f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}", "--allow-root"),
        "--ServerApp.port_retries=0",
        "--LabApp.extension_manager=readonly",
    ]
    root = str(build.here().notebooks.parent)
    log = open(folder / "lab.log", "w", encoding="utf-8")  # noqa: SIM115 (the server writes to it)
    environment = os.environ | own | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"{address}/api?token={TOKEN}", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, (folder / "lab.log").read_text()[-2000:]
                assert time.monotonic() < end, "JupyterLab does not answer"
                time.sleep(0.5)
        yield address
    finally:
        server.send_signal(signal.SIGINT if os.name != "nt" else signal.SIGTERM)
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.terminate()  # the first one only asks
            server.wait(30)
        log.close()


@pytest.mark.parametrize("page", [(1280, "light")], indirect=True, ids=["desktop"])
def test_a_slider_of_a_lesson_moves_its_picture(page, lab, tmp_path):
    page.set_default_timeout(120_000)
    page.goto(f"{lab}/lab/tree/{LESSON}.ipynb?token={TOKEN}&reset")
    page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()  # it hears nothing before
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    cell = page.locator(".jp-CodeCell").filter(has_text=CELL)
    # Only what is near the window is in the page.
    for _ in range(60):
        if cell.count():
            break
        page.locator(".jp-WindowedPanel-outer").first.evaluate("e => e.scrollBy(0, 700)")
        page.wait_for_timeout(150)
    cell = cell.first
    cell.scroll_into_view_if_needed()
    cell.locator(".jp-InputArea-editor").click()
    page.keyboard.press("Control+Enter")

    picture = page.locator(".jp-OutputArea img.widget-image, .jp-OutputArea .widget-image")
    picture.first.wait_for()
    before = picture.first.get_attribute("src")
    assert before

    row = page.locator(".widget-slider").filter(has_text="share that rises")
    said = row.locator(".widget-readout").inner_text()
    handle = row.locator(".noUi-handle")
    handle.focus()
    page.keyboard.press("ArrowRight")  # by keyboard, as some have to
    for _ in range(200):
        if picture.first.get_attribute("src") != before:
            break
        page.wait_for_timeout(100)
    assert picture.first.get_attribute("src") != before, "the picture did not change"
    assert row.locator(".widget-readout").inner_text() != said
    assert page.get_by_text("the picture in words").count() == 1
    page.screenshot(path=tmp_path / "lab.png")
    if os.environ.get("GLIOMAKIT_SHOTS"):
        page.screenshot(path=os.path.join(os.environ["GLIOMAKIT_SHOTS"], "lab.png"))
