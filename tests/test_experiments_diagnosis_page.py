"""The page of a diagnosis in a real browser: on a phone and on a screen, with nothing fetched and nothing executed."""

import pytest
import torch

from fire_rl.commands.diagnose import body
from fire_rl.commands.train import train
from fire_rl.experiments.diagnosis.page import PAGE
from tests.fixtures.browser import NEEDS_BROWSER, opened, requested, start

pytestmark = NEEDS_BROWSER

RUN = (
    *("--env", "CartPole-v1", "--steps", "200", "--num-envs", "2", "--learning-starts", "40", "--threads", "1"),
    *("--device", "cpu", "--hidden-width", "16", "--batch-size", "8", "--target-every", "50", "--eval-every", "1000"),
    *("--eval-episodes", "2", "--measure-every", "0", "--checkpoint-every", "200", "--replay-capacity", "1000"),
)
DIAGNOSIS = (
    *("--updates", "12", "--seeds", "3", "--rates", "0.01", "--episodes", "2", "--recovery", "12"),
    *("--remedies", "fire", "reset", "redo", "shrink-perturb:keep=0.5", "shrink-perturb:keep=0.9"),
)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a short run, whose folder has a name that would be code if it were not escaped."""
    run, threads = tmp_path_factory.mktemp("diagnosis") / "<img src=x onerror=alert(1)>", torch.get_num_threads()
    train("dqn", [*RUN, "--run-dir", str(run)])
    assert body([str(run), *DIAGNOSIS]) == 0
    torch.set_num_threads(threads)
    return run / PAGE


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = start(tmp_path_factory.mktemp("browser"))
    yield driver
    driver.quit()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_page_fits_the_screen_and_shows_every_figure(browser, page, width, theme):
    requested(browser)  # those before
    opened(browser, page, width, theme)
    whole, seen = browser.execute_script(
        "return ['scrollWidth', 'clientWidth'].map(each => document.documentElement[each])"
    )
    assert whole <= seen <= width
    images = browser.execute_script(
        """return Array.from(document.images, image => [image.complete, image.naturalWidth, image.alt.length,
            image.getBoundingClientRect().left, image.getBoundingClientRect().right])"""
    )
    assert len(images) == 4
    for complete, natural, described, left, right in images:
        assert complete
        assert natural > 200
        assert described > 10
        assert 0 <= left < right <= width
    assert browser.get_log("browser") == []
    assert [url for url in requested(browser) if not url.startswith("data:") and url != page.as_uri()] == []


def test_names_are_shown_as_text_and_execute_nothing(browser, page):
    opened(browser, page, 390)
    assert browser.execute_script("return document.scripts.length") == 0
    assert browser.execute_script("return document.querySelectorAll('[onerror], img[src=x]').length") == 0
    assert page.parent.name in browser.execute_script("return document.body.innerText")
