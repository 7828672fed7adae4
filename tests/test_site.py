"""The documentation site: built strictly, opened page by page in a browser, without downloads."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.fixtures.browser import NEEDS_BROWSER, opened, requested, start

ROOT = Path(__file__).parent.parent
ROOMS = ("fire", "agents", "envs", "replay", "data", "training")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, as `make docs` builds it."""
    pytest.importorskip("mkdocs")
    if not shutil.which("make"):
        pytest.skip("not installed: make")
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(["make", "--silent", "links"], cwd=ROOT, check=True)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = start(tmp_path_factory.mktemp("browser"))
    yield driver
    driver.quit()


class Page(HTMLParser):
    """What a page names: its anchors, its links, and what a browser would load for it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors, self.links, self.loaded = set[str](), set[str](), set[str]()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.add(given["href"])
        self.loaded |= {given["src"]} if "src" in given else set()
        if tag == "link" and given.get("rel") not in ("next", "prev", "canonical"):
            self.loaded.add(given.get("href", ""))


def pages_of(site: Path) -> list[Path]:
    """Return the pages of the documentation. Reports among the results have a form of their own."""
    return [path for path in sorted(site.rglob("*.html")) if path.name not in ("404.html", "report.html")]


@pytest.mark.slow
def test_pages_load_nothing_from_elsewhere(site: Path):
    for path in pages_of(site):
        for address in Page(path).loaded:
            assert not urlsplit(address).netloc, f"{path.relative_to(site)} loads {address}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"@import|url\([\"']?(https?:)?//", sheet.read_text()), sheet.name


@pytest.mark.slow
def test_links_inside_the_site_lead_to_a_page_and_a_heading(site: Path):
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    for path in pages_of(site):
        for link in pages[path.resolve()].links:
            address = urlsplit(link)
            if address.scheme or address.netloc:
                continue
            target = (path.parent / unquote(address.path)).resolve() if address.path else path.resolve()
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), f"{path.relative_to(site)} links to {link}"
            if address.fragment and target in pages:
                anchors = pages[target].anchors | {"__tabbed"}
                assert unquote(address.fragment) in anchors, f"{path.relative_to(site)} links to {link}"


@pytest.mark.slow
@pytest.mark.parametrize("room", ROOMS)
def test_the_reference_holds_every_public_name(site: Path, room: str):
    shown = Page(site / "reference" / f"{room}.html").anchors
    public = importlib.import_module(f"fire_rl.{room}").__all__
    assert [name for name in public if f"fire_rl.{room}.{name}" not in shown] == []


@pytest.mark.slow
@NEEDS_BROWSER
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("width", [390, 1280])
def test_every_page_opens_without_a_message_and_never_scrolls_sideways(site: Path, browser, width: int):
    pages = pages_of(site)
    assert len(pages) > 40
    for path in pages:
        name = path.relative_to(site)
        opened(browser, path, width)
        assert browser.get_log("browser") == [], name
        whole, seen, broken = browser.execute_script(
            """const root = document.documentElement;
            return [root.scrollWidth, root.clientWidth,
                    Array.from(document.images).filter(image => image.complete && !image.naturalWidth).length]"""
        )
        assert whole <= seen <= width, name
        assert not broken, name
    assert [url for url in requested(browser) if url.startswith(("http", "ws"))] == []


@pytest.mark.slow
@NEEDS_BROWSER
def test_the_search_finds_a_page_without_a_server(site: Path, browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    opened(browser, site / "index.html", 1280)
    browser.find_element(By.CSS_SELECTOR, "input.md-search__input").send_keys("isometry")
    found = WebDriverWait(browser, 60).until(
        lambda driver: driver.find_elements(By.CSS_SELECTOR, ".md-search-result__link")
    )
    assert any("terms.html" in link.get_attribute("href") for link in found)
    assert browser.get_log("browser") == []
