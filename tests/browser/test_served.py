"""The dashboard that is alive: Voilà on 127.0.0.1, in a browser."""

import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from gliomakit.tracking import start_run

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for i, rate in enumerate((0.001, 0.01, 0.1)):
        with start_run(HOSTILE if i == 2 else f"run {i}", folder, rate=rate) as run:
            for step in range(40):
                run["metrics/train/loss"].append((-1) ** step + 2 - i, step=step)
    (folder / "secret.png").write_bytes(b"\x89PNG a patient")
    return folder


@pytest.fixture(scope="module")
def address(runs):
    """`gliomakit dashboard --serve` in a process of its own; ended as Ctrl-C ends it."""
    command = [sys.executable, "-m", "gliomakit", "dashboard", str(runs), "--serve", "--no-open"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield server.stdout.readline().strip()
    finally:
        server.send_signal(signal.SIGINT)
        _, said = server.communicate(timeout=30)
    assert server.returncode in (0, 130)
    assert "Traceback" not in said


def test_nobody_enters_without_the_token(address):
    server, token = address.split("?token=")
    assert server.startswith("http://127.0.0.1:") and len(token) >= 32
    for path in ("", "voila/files/secret.png", "voila/files/runs.ipynb", "api/kernels", "api"):
        try:
            with urllib.request.urlopen(server + path, timeout=30) as answer:
                found = answer.url + answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            assert error.code in (401, 403, 404), path
        else:
            assert "login" in found, path
            assert "Smoothing" not in found and "a patient" not in found


def test_runs_are_ticked_sorted_and_smoothed(browser, address):
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address, timeout=120_000)
    rows = page.locator("span[title^='run ']")
    rows.first.wait_for(timeout=120_000)

    def names():
        return [row.inner_text() for row in rows.all()]

    def curves():
        return page.locator("img:visible").first.get_attribute("src")

    def changed(before):
        page.wait_for_function(
            "before => [...document.querySelectorAll('img')]"
            ".find(image => image.offsetParent).src !== before",
            arg=before,
            timeout=30_000,
        )
        return curves()

    assert names() == ["run 1", "run 0"]  # the newest first
    page.get_by_label("descending").uncheck()
    page.wait_for_function(
        "document.querySelector(\"span[title^='run ']\").innerText === 'run 0'", timeout=30_000
    )
    assert names() == ["run 0", "run 1"]

    all_of_them = curves()
    page.locator("input[type=checkbox]:checked").first.uncheck()
    without_one = changed(all_of_them)
    page.locator(".noUi-handle").first.focus()
    page.keyboard.press("ArrowRight")
    changed(without_one)

    assert page.get_by_text(HOSTILE).first.is_visible() and "owned" not in page.title()
    outside = [url for url in asked if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))]
    assert outside == []
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_dark_where_the_browser_asks_for_it(browser, address, scheme):
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(address, timeout=120_000)
    label = page.get_by_text("descending")
    label.wait_for(timeout=120_000)
    colour = "element => getComputedStyle(element).{}.match(/[0-9]+/g).slice(0, 3).map(Number)"
    ground = page.locator("body").evaluate(colour.format("backgroundColor"))
    letters = label.evaluate(colour.format("color"))
    assert (sum(letters) > sum(ground)) == (scheme == "dark")
    assert abs(sum(letters) - sum(ground)) > 3 * 150
    context.close()


def test_a_taken_port_is_said(runs, address):
    port = address.split(":")[2].split("/")[0]
    command = [sys.executable, "-m", "gliomakit", "dashboard", str(runs), "--serve", "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and f"port {port} is taken" in done.stderr
