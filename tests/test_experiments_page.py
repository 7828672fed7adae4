"""The report in a real browser: a phone and a screen, names of ill will, nothing fetched, nothing executed."""

import importlib.util
import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fire_rl.experiments.analysis.analyse import analyse
from fire_rl.experiments.analysis.found import find_runs
from fire_rl.experiments.analysis.results import Options
from fire_rl.experiments.report.page import write_report
from tests.fixtures.comparison import write_comparison

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
missing = [name for name, there in (("chromium", CHROMIUM), ("chromedriver", DRIVER)) if not there]
missing += [] if importlib.util.find_spec("selenium") else ["selenium"]
pytestmark = pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage",
)  # fmt: skip
METHODS = {"none": "<script>alert(1)</script>", "fire": "a&b\"c'</style><img src=x onerror=alert(2)> $x$ | _*"}
ENVIRONMENT = "</title><script>alert(3)</script>" + "very-long-name-" * 8
COMMAND = "python compare.py --env '</code><script>alert(4)</script>'"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report on runs whose names would be code wherever they are not escaped."""
    folder = tmp_path_factory.mktemp("page")
    found = find_runs([write_comparison(folder / "runs", methods=tuple(METHODS), seeds=range(2), steps=4_000)])
    runs = [
        replace(run, method=METHODS[run.method], env=ENVIRONMENT, made_with={"commit": "<b>"}) for run in found.runs
    ]
    results = analyse(runs, Options(resamples=50, baseline=METHODS["none"]), found.trunks)
    return write_report(replace(results, notes=("<script>alert(5)</script>",)), folder, COMMAND)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    try:
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    except WebDriverException as error:  # a machine may have one that cannot run there
        pytest.skip(f"Chromium does not start: {error.msg}")
    yield driver
    driver.quit()


def opened(browser, page, width, theme="light"):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    browser.get(page.as_uri())
    return browser


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


def test_nothing_is_fetched(browser, page):
    browser.get_log("performance")  # those before
    opened(browser, page, 390)
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
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
    """Middle brightness of a picture, which is its background's."""
    return float(np.median(np.asarray(Image.open(io.BytesIO(content)).convert("L"))))
