"""The dashboard's page, opened as people open it."""

import matplotlib.pyplot as plt
import pytest

from gliomakit.tracking import start_run
from gliomakit.tracking.dashboard import write_page

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=\"document.title='owned'\"></script><script>document.title='owned'"


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for i, rate in enumerate((0.001, 0.01, 0.1)):
        with start_run(f"run {i}", folder, tags=[HOSTILE], rate=rate, same=1) as run:
            for step in range(50):
                run["metrics/train/loss"].append((-1) ** step + 2 - i, step=step)
                if step % 10 == 0:
                    run["metrics/valid/dice"].append(step / 100 + i / 10, step=step)
            run["bad"].append(float("nan"), step=0)
            if i == 0:
                for step in (1, 2):
                    figure = plt.figure(figsize=(1, 1))
                    figure.text(0.2, 0.2, str(step))
                    run["pictures/one"].append(figure, step=step)
                    plt.close(figure)
    with start_run(HOSTILE, folder, rate=5.0, **{HOSTILE: HOSTILE}) as run:
        run[f"metrics/{HOSTILE}"].append(1.0)
    return write_page(folder, folder / "dashboard.html")


def first_column(page, number=1):
    return [
        row.locator("td").nth(number).inner_text() for row in page.locator("#runs tbody tr").all()
    ]


def test_the_page_does_what_it_offers(page, dashboard, tmp_path):
    page.goto(dashboard.as_uri())
    assert page.locator("#summary").inner_text() == "4 runs: 4 finished"

    # sorted by a click on a column, and back
    names = first_column(page)
    page.get_by_title("sort by name").click()
    assert first_column(page) == sorted(names)
    page.locator("th[aria-sort=ascending] button").click()
    assert first_column(page) == sorted(names, reverse=True)

    # filtered, for words and for a value
    page.locator("#filter").fill("parameters/rate=0.01")
    assert first_column(page) == ["run 1"]
    page.locator("#filter").fill("no such word")
    assert page.get_by_text("No run has these words.").is_visible()
    page.locator("#filter").fill("")

    # columns chosen
    before = page.locator("#runs th").count()
    page.locator("details.columns summary").click()
    page.get_by_label("parameters/same").check()
    assert page.locator("#runs th").count() == before + 1
    page.locator("details.columns summary").click()

    # ticks choose the curves; smoothing leaves the raw curve behind, faintly
    loss = page.locator("#charts figure").filter(has_text="metrics/train/loss")
    assert loss.locator("path.curve").count() == 3 and loss.locator("path.raw").count() == 0
    drawn = loss.locator("path.curve").first.get_attribute("d")
    page.get_by_label("show run 1").uncheck()
    assert loss.locator("path.curve").count() == 2
    page.locator("#smooth").fill("0.9")
    assert loss.locator("path.raw").count() == 2
    assert loss.locator("path.curve").first.get_attribute("d") != drawn

    # side by side: what differs is marked with a sign
    sides = page.locator("#sides")
    assert sides.get_by_text("≠ parameters/rate").is_visible()
    page.get_by_label("only what differs").check()
    page.get_by_label("show run 0").uncheck()
    assert page.locator("#pictures img").count() == 0
    page.get_by_label("show run 0").check()

    # pictures: the slider changes them
    picture = page.locator("#pictures img")
    last = picture.get_attribute("src")
    page.get_by_label("step of pictures/one").fill("0")
    assert picture.get_attribute("src") != last
    assert page.locator("#pictures .value").inner_text() == "step 1, 1 of 2"
    page.locator("#none").click()
    assert page.get_by_text("Tick a run above to see its curves.").is_visible()

    # a view is kept in the address, and a hostile address is no view
    page.get_by_label("show run 1").check()
    page.locator("#filter").fill("run")
    kept = page.evaluate("location.href")
    page.goto("about:blank")
    page.goto(kept)
    assert page.locator("#filter").input_value() == "run"
    assert page.get_by_label("show run 1").is_checked()
    assert not page.get_by_label("show run 0").is_checked()
    assert page.locator("#smooth").input_value() == "0.9"
    for bad in ("#%", "#null", "#[1]", "#%7B%22columns%22%3A1%2C%22sort%22%3A%7B%7D%7D"):
        page.goto("about:blank")
        page.goto(dashboard.as_uri() + bad)
        assert page.locator("#runs tbody tr").count() == 4
    page.goto(kept)

    assert page.title() == "Runs", "what a user typed was executed"
    assert page.problems == []
    assert {url.split(":")[0] for url in page.asked} <= {"file", "data", "about"}
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.wide, "the page is wider than the screen"
    page.screenshot(path=tmp_path / "dashboard.png", full_page=True)
