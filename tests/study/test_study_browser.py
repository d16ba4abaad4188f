"""The study's page in a real browser: by keyboard alone, over a reload, to the scores."""

import csv
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dubbench.cli import main
from tests import filmed
from tests.browser import chromium, complaints, narrow, requested

CLIPS = ["s1/bbaf", "s1/lgiz", "s2/pwij"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of three videos a rater."""
    folder = tmp_path_factory.mktemp("browser")
    results = filmed.results(folder / "results", ["ground_truth", "dinet", "wav2lip"], CLIPS)
    out = folder / "study"
    assert main(["study", "make", str(results), "--out", str(out), "--raters", "4", "--per_rater", "3"]) == 0
    return out


@pytest.fixture(scope="module")
def browser(study: Path) -> Iterator[Any]:
    (study.parent / "downloads").mkdir()
    with chromium(study.parent / "downloads") as found:
        yield found


class Page:
    """The page as somebody with a keyboard has it."""

    def __init__(self, browser: Any, study: Path) -> None:  # noqa: ANN401
        self.browser, self.address = browser, (study / "index.html").as_uri()
        self.browser.get(self.address)

    def keys(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        for key in keys:
            ActionChains(self.browser).send_keys(key).perform()

    def text(self, name: str) -> str:
        return str(self.browser.find_element("id", name).text)

    def focus(self) -> str:
        script = "const e = document.activeElement; return e.id || `${e.name}${e.value}`"
        return str(self.browser.execute_script(script))

    def until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not true():
            assert time.monotonic() < end, self.text("item")
            time.sleep(0.02)

    def begin(self, rater: int) -> None:
        self.browser.find_element("id", "rater").clear()
        self.browser.find_element("id", "rater").send_keys(str(rater), "\n")

    def watch(self) -> None:
        self.keys("p")
        self.until(lambda: self.text("status") == "Played. Please answer.")

    def checked(self) -> list[str]:
        script = "return [...document.querySelectorAll('#rating :checked')].map(e => e.name + e.value)"
        return list(self.browser.execute_script(script))


def test_by_keyboard_over_a_reload_to_the_scores(browser: Any, study: Path, tmp_path: Path) -> None:  # noqa: ANN401
    from selenium.webdriver.common.keys import Keys

    page = Page(browser, study)
    page.keys(Keys.TAB, "2", Keys.ENTER)
    assert (page.text("number"), page.focus()) == ("Video 1 of 3", "number")
    page.keys("4", Keys.ENTER)
    assert page.checked() == []
    assert not browser.find_element("css selector", "#rating input").is_enabled()
    page.watch()
    assert page.focus() == "visual1"
    page.keys("4", "2")
    assert page.focus() == "realness1"
    assert not browser.find_element("id", "next").is_enabled()
    page.keys("5")
    assert (page.checked(), page.focus()) == (["visual4", "sync2", "realness5"], "next")
    page.keys(Keys.ENTER)
    assert page.text("number") == "Video 2 of 3"
    assert page.checked() == []
    page.watch()
    page.keys("1", Keys.ARROW_RIGHT)  # arrows choose within a group, as everywhere
    assert page.checked() == ["visual1", "sync2"]

    browser.refresh()
    assert page.text("known") == "Rater 2 has rated 1 of 3 videos here; Begin goes on after them."
    page.keys(Keys.TAB, Keys.ENTER)
    assert (page.text("number"), page.checked()) == ("Video 2 of 3", ["visual1", "sync2"])
    page.keys("3")
    assert page.checked() == ["visual1", "sync2", "realness3"]
    page.keys(Keys.ENTER)
    page.until(lambda: page.focus() == "number" or page.text("number") == "Video 3 of 3")
    page.watch()
    page.keys("3", "3", "3")
    page.until(lambda: page.text("next") == "Finish" and page.focus() == "next")
    page.keys(Keys.ENTER)
    assert browser.find_element("id", "end").is_displayed()
    page.keys(Keys.TAB, Keys.ENTER)
    file = study.parent / "downloads" / f"answers-{json.loads(key(study).read_text())['study']}-rater-002.json"
    page.until(file.is_file)

    answers = json.loads(file.read_text())
    assert (answers["rater"], answers["complete"], answers["total"], answers["seed"]) == (2, True, 3, [0, 1])
    assert answers["questions"] == ["visual", "sync", "realness"]
    order = browser.execute_script("return order()")
    assert [item["id"] for item in answers["items"]] == order
    assert [item["position"] for item in answers["items"]] == [1, 2, 3]
    given = [list(item["answers"].values()) for item in answers["items"]]
    assert given == [[4, 2, 5], [1, 2, 3], [3, 3, 3]]
    assert all(item["plays"] == 1 and item["seconds"] > 0.3 for item in answers["items"])
    owners = json.loads(key(study).read_text())["items"]
    out = tmp_path / "scores.csv"
    assert main(["study", "score", str(file), "--key", str(key(study)), "--out", str(out)]) == 0
    with out.open() as lines:
        means = {(r["method"], r["question"]): r["value"] for r in csv.DictReader(lines) if r["statistic"] == "mean"}
    for item in answers["items"]:
        for question, value in item["answers"].items():
            assert means[owners[item["id"]]["method"], question] == str(value)
    assert complaints(browser) == []
    assert [url for url in requested(browser) if not url.startswith(study.as_uri())] == []


def key(study: Path) -> Path:
    return study.with_name("study.key.json")


def test_everything_has_a_name_and_a_narrow_screen_is_enough(browser: Any, study: Path) -> None:  # noqa: ANN401
    page = Page(browser, study)
    page.begin(9)
    assert page.text("known") in ("The rater number is one of 1 to 4.", "")
    assert browser.find_element("id", "start").is_displayed()
    page.begin(1)
    groups = browser.find_elements("tag name", "fieldset")
    assert [group.find_element("tag name", "legend").text for group in groups] == [
        "Visual quality",
        "Lip sync",
        "Realness",
    ]
    nameless = browser.execute_script(
        "return [...document.querySelectorAll('input')].filter(e => !e.labels[0]?.textContent.trim())"
    )
    assert nameless == []
    assert groups[0].find_element("tag name", "input").accessible_name == "1 Bad"
    narrow(browser, (320, 640))
    try:
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 320
        boxes = [e.rect for e in groups[0].find_elements("tag name", "label")]
        assert len({box["x"] for box in boxes}) == 1
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_video_that_is_missing_is_told_and_can_be_passed(browser: Any, study: Path) -> None:  # noqa: ANN401
    page = Page(browser, study)
    page.begin(3)
    first = browser.execute_script("return order()[0]")
    video = study / "videos" / f"{first}.mp4"
    content = video.read_bytes()
    video.unlink()
    try:
        page = Page(browser, study)
        page.begin(3)
        page.until(lambda: f"videos/{first}.mp4 cannot be played here" in page.text("trouble"))
        browser.find_element("id", "skip").click()
    finally:
        video.write_bytes(content)
    assert page.text("number") == "Video 2 of 3"
    assert page.text("trouble") == ""
    done = browser.execute_script("return state.done")
    assert [(item["id"], item["failed"], item["answers"]) for item in done] == [(first, True, {})]
    complaints(browser)
