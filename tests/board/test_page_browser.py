import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dubbench.board.entries import collect
from dubbench.board.page import write_page
from dubbench.board.ranking import grouped
from tests.boards import clip_names, results, videos
from tests.browser import complaints, narrow, requested

METHODS = ("ten", "nine", "hundred", "none", "long_name_" * 12)
PSNR = (10.0, 9.5, 100.0, float("nan"), 33.0)
STEP = 0.12


def page_of(place: Path, *folders: Path) -> str:
    write_page(place / "page.html", grouped(collect(folders)), [], "copy", 2)
    return (place / "page.html").as_uri()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Five methods, one of them without a PSNR, with videos of both ends and two methods on two clips."""
    folder = tmp_path_factory.mktemp("board")
    wave = np.sin(np.arange(8))
    scores: dict[str, dict[str, Any]] = {
        name: {"psnr": value + wave, "ssim": 0.9 + 0.01 * wave, "lmd": 1 + place + 0.1 * wave, "mse": 50 + wave}
        for place, (name, value) in enumerate(zip(METHODS, PSNR, strict=True))
    }
    run = results(folder / "run", {"ground_truth": {"psnr": [np.inf] * 8, "lmd": [0.0] * 8}, **scores})
    videos(run, ["ground_truth", "ten", "nine"], clip_names(8), 2.0)
    return page_of(folder, run)


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:  # noqa: ANN401
    """The page, freshly opened; it may neither complain nor ask for anything that lies elsewhere."""
    requested(browser)
    complaints(browser)
    browser.get(address)
    yield browser
    assert complaints(browser) == []
    assert [url for url in requested(browser) if not url.startswith("file://")] == []


def heading(browser: Any, name: str) -> Any:  # noqa: ANN401
    found = (
        "[...document.querySelectorAll('table.board thead th')].find(t => t.innerText.trim().startsWith(arguments[0]))"
    )
    return browser.execute_script(f"return {found}", name)


def order(browser: Any) -> list[str]:  # noqa: ANN401
    return list(browser.execute_script("return [...document.querySelectorAll('.methods th')].map(t => t.dataset.v)"))


def until(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_a_click_sorts_by_number_best_first_and_empty_cells_stay_last(page: Any) -> None:  # noqa: ANN401
    long = METHODS[4]
    assert order(page) == ["ten", "nine", "hundred", "none", long]
    psnr = heading(page, "psnr")
    psnr.find_element("css selector", "button").click()
    assert order(page) == ["hundred", long, "ten", "nine", "none"]
    assert psnr.get_attribute("aria-sort") == "descending"
    psnr.find_element("css selector", "button").click()
    assert order(page) == ["nine", "ten", long, "hundred", "none"]
    assert psnr.get_attribute("aria-sort") == "ascending"
    assert page.execute_script("return document.querySelectorAll('th[aria-sort]:not([aria-sort=none])').length") == 1
    assert "Sorted by psnr, ascending" in page.find_element("css selector", "[role=status]").get_attribute(
        "textContent"
    )
    first = page.find_element("css selector", "table.board tbody th[scope=row]").text
    assert first == "ground_truth"


def test_the_keyboard_sorts_too(page: Any) -> None:  # noqa: ANN401
    name = heading(page, "method")
    button = name.find_element("css selector", "button")
    page.execute_script("arguments[0].focus()", button)
    button.send_keys("\ue007")
    assert (name.get_attribute("aria-sort"), order(page)) == ("ascending", sorted(METHODS))
    button.send_keys(" ")
    assert (name.get_attribute("aria-sort"), order(page)) == ("descending", sorted(METHODS, reverse=True))
    page.switch_to.active_element.send_keys("\ue004")
    clips = page.switch_to.active_element
    assert clips.text.startswith("clips")
    clips.send_keys("\ue007")
    assert heading(page, "clips").get_attribute("aria-sort") == "descending"


def test_a_definition_shows_on_focus_and_goes_with_escape(page: Any) -> None:  # noqa: ANN401
    button = heading(page, "lmd").find_element("css selector", "button")
    tip = page.find_element("id", "tip")
    assert not tip.is_displayed()
    page.execute_script("arguments[0].focus({preventScroll: true})", button)
    assert until(tip.is_displayed)
    assert "20 mouth landmarks" in tip.text
    button.send_keys("\ue00c")
    assert not tip.is_displayed()


def test_all_metrics_show_when_asked_for(page: Any) -> None:  # noqa: ANN401
    mse = heading(page, "mse") or page.execute_script("return document.querySelector('th.more')")
    button = page.find_element("css selector", "button.all")
    assert (mse.is_displayed(), button.get_attribute("aria-pressed")) == (False, "false")
    button.send_keys("\ue007")
    assert (mse.is_displayed(), button.get_attribute("aria-pressed")) == (True, "true")


def playing(browser: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """The videos that have something to show."""
    return list(
        browser.execute_script(
            "return [...document.querySelectorAll('video[src]')].map(v => "
            "({time: v.currentTime, muted: v.muted, paused: v.paused, source: v.getAttribute('src'), ended: v.ended}))"
        )
    )


def test_all_videos_play_in_step_with_one_sound(page: Any) -> None:  # noqa: ANN401
    assert [one["muted"] for one in playing(page)] == [False, True, True]
    play = page.find_element("css selector", "button.play")
    play.send_keys("\ue007")
    assert until(lambda: min(one["time"] for one in playing(page)) > 0.7)
    found = playing(page)
    assert max(one["time"] for one in found) - min(one["time"] for one in found) < STEP
    assert play.text == "Pause"
    page.find_elements("css selector", "figcaption input[type=radio]")[1].send_keys(" ")
    assert [one["muted"] for one in playing(page)] == [True, False, True]
    play.send_keys("\ue007")
    assert all(one["paused"] for one in playing(page))
    stopped = [one["time"] for one in playing(page)]
    time.sleep(0.3)
    assert [one["time"] for one in playing(page)] == stopped
    assert all(0 < one < 2 for one in stopped)


def test_sound_can_be_off_and_another_clip_chosen(page: Any) -> None:  # noqa: ANN401
    page.execute_script("document.querySelector('.bar input[type=radio]').click()")
    assert all(one["muted"] for one in playing(page))
    before = [one["source"] for one in playing(page)]
    page.find_element("css selector", ".bar select").send_keys("s1/c004")
    after = [one["source"] for one in playing(page)]
    assert len(after) == 3
    assert not set(before) & set(after)
    assert all("c004" in source for source in after)
    page.find_element("css selector", "button.restart").send_keys("\ue007")
    assert until(lambda: min(one["time"] for one in playing(page)) > 0.2)


def test_videos_stop_together_at_their_end(page: Any) -> None:  # noqa: ANN401
    slider = page.find_element("css selector", ".seek input")
    page.execute_script("arguments[0].value = 800; arguments[0].dispatchEvent(new Event('input'))", slider)
    assert until(lambda: all(abs(one["time"] - 1.6) < 0.05 for one in playing(page)))
    play = page.find_element("css selector", "button.play")
    play.send_keys("\ue007")
    assert until(lambda: play.text == "Play all" and all(one["paused"] for one in playing(page)))
    assert min(one["time"] for one in playing(page)) > 1.8


def test_a_method_without_a_video_says_so(page: Any) -> None:  # noqa: ANN401
    told = [text.text for text in page.find_elements("css selector", ".novideo") if text.text]
    assert told == ["no video beside the results"] * 3


def test_a_telephone_scrolls_tables_and_never_the_page(browser: Any, address: str) -> None:  # noqa: ANN401
    narrow(browser)
    try:
        browser.get(address)
        everything = "document.querySelectorAll('button.all, summary').forEach(button => button.click())"
        for state in ("", everything):
            browser.execute_script(state)
            page = "document.documentElement"
            width, inside, content = browser.execute_script(
                f"return [innerWidth, {page}.clientWidth, {page}.scrollWidth]"
            )
            assert width == 360
            assert content <= inside
        box = browser.find_element("css selector", ".scroll")
        assert browser.execute_script("return arguments[0].scrollWidth > arguments[0].clientWidth", box)
        assert box.get_attribute("tabindex") == "0"
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_dark_and_light_are_the_readers_choice(page: Any) -> None:  # noqa: ANN401
    shades = []
    for scheme in ("light", "dark"):
        page.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        shades.append(page.execute_script("return getComputedStyle(document.body).backgroundColor"))
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert shades == ["rgb(255, 255, 255)", "rgb(20, 23, 27)"]


def test_two_hundred_rows_are_sorted_at_once(browser: Any, tmp_path: Path) -> None:  # noqa: ANN401
    draws = np.random.default_rng(0).permutation(200)
    scores = {f"m{place}": {"psnr": [float(value)] * 2, "lmd": [1.0, 2.0]} for place, value in enumerate(draws)}
    browser.get(page_of(tmp_path, results(tmp_path / "run", scores)))
    heading(browser, "psnr").find_element("css selector", "button").click()
    assert order(browser) == [f"m{place}" for place in np.argsort(-draws)]
    heading(browser, "method").find_element("css selector", "button").click()
    assert order(browser) == [f"m{place}" for place in range(200)]
    assert complaints(browser) == []


def test_a_hostile_name_runs_nothing(browser: Any, tmp_path: Path) -> None:  # noqa: ANN401
    evil = "<script>window.bad = 1</script><img src=x onerror='window.bad = 1'>"
    scores = {evil: {"psnr": [30.0] * 2}, "b": {"psnr": [31.0] * 2}}
    browser.get(page_of(tmp_path, results(tmp_path / "run", scores, dataset=evil)))
    heading(browser, "method").find_element("css selector", "button").click()
    assert order(browser) == sorted([evil, "b"], key=str.lower)
    assert browser.execute_script("return [window.bad === undefined, document.images.length]") == [True, 0]
