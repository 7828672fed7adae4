"""The report in a real browser: a phone and a screen, malicious names, nothing downloaded, nothing executed."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fire_rl.experiments.analysis.analyse import analyse
from fire_rl.experiments.analysis.found import find_runs
from fire_rl.experiments.analysis.results import Options
from fire_rl.experiments.report.page import write_report
from tests.fixtures.browser import NEEDS_BROWSER, opened, requested, start
from tests.fixtures.comparison import write_comparison

pytestmark = NEEDS_BROWSER

METHODS = {"none": "<script>alert(1)</script>", "fire": "a&b\"c'</style><img src=x onerror=alert(2)> $x$ | _*"}
ENVIRONMENT = "</title><script>alert(3)</script>" + "very-long-name-" * 8
COMMAND = "python compare.py --env '</code><script>alert(4)</script>'"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report on runs whose names would be code if they were not escaped."""
    folder = tmp_path_factory.mktemp("page")
    found = find_runs([write_comparison(folder / "runs", methods=tuple(METHODS), seeds=range(2), steps=4_000)])
    runs = [
        replace(run, method=METHODS[run.method], env=ENVIRONMENT, made_with={"commit": "<b>"}) for run in found.runs
    ]
    results = analyse(runs, Options(resamples=50, baseline=METHODS["none"]), found.trunks)
    return write_report(replace(results, notes=("<script>alert(5)</script>",)), folder, COMMAND)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = start(tmp_path_factory.mktemp("browser"))
    yield driver
    driver.quit()


@pytest.mark.parametrize("width", [390, 1280])
def test_page_opens_without_errors_and_shows_every_figure(browser, page, width):
    opened(browser, page, width)
    images = browser.execute_script(
        """return Array.from(document.images, image => [
            image.complete, image.naturalWidth, image.getBoundingClientRect().width, image.getBoundingClientRect().left,
            image.getBoundingClientRect().right, image.getBoundingClientRect().height, image.alt.length])"""
    )
    assert len(images) > 10
    for complete, natural, shown, left, right, height, described in images:
        assert complete
        assert natural > 0
        assert shown > 200
        assert height > 60
        assert left >= 0
        assert right <= width
        assert described > 10
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_tables_scroll_inside_themselves_and_the_page_never_sideways(browser, page, width):
    opened(browser, page, width)
    whole, seen = browser.execute_script(
        "const root = document.documentElement; return [root.scrollWidth, root.clientWidth]"
    )
    assert whole <= seen <= width
    if width < 600:
        hidden = "return Array.from(document.querySelectorAll('.table'), box => box.scrollWidth - box.clientWidth)"
        assert max(browser.execute_script(hidden)) > 100


def test_nothing_is_downloaded(browser, page):
    requested(browser)  # without earlier requests
    opened(browser, page, 390)
    sent = requested(browser)
    assert page.as_uri() in sent
    assert [url for url in sent if not url.startswith("data:") and url != page.as_uri()] == []


def test_names_are_shown_as_text_and_execute_nothing(browser, page):
    from selenium.common.exceptions import NoAlertPresentException

    opened(browser, page, 1280)
    with pytest.raises(NoAlertPresentException):
        _ = browser.switch_to.alert.text
    assert browser.execute_script("return document.scripts.length") == 0
    assert browser.execute_script("return document.querySelectorAll('[onerror], img[src=x], b').length") == 0
    text = browser.execute_script("return document.body.innerText")
    for name in (*METHODS.values(), ENVIRONMENT, "<script>alert(5)</script>", "<b>"):
        assert name in text
    assert COMMAND.split(" --")[1] in text
    assert ENVIRONMENT in browser.title


def test_dark_theme_reaches_page_and_figures(browser, page):
    from selenium.webdriver.common.by import By

    def corner(theme):
        opened(browser, page, 390, theme)
        image = browser.find_element(By.TAG_NAME, "img")
        background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        return background, image.screenshot_as_png

    light, dark = corner("light"), corner("dark")
    assert light[0] == "rgb(255, 255, 255)"
    assert dark[0] != light[0]
    assert darkness(light[1]) > 200
    assert darkness(dark[1]) < 60


def darkness(content):
    """Return the median brightness of a picture, which is that of its background."""
    return float(np.median(np.asarray(Image.open(io.BytesIO(content)).convert("L"))))
