"""How the page looks and answers in a real browser: posters, curves, links, colours and widths."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import numpy as np
import pytest
from PIL import Image

from dubbench.metrics.catalogue import DEFINITIONS
from dubbench.results.rows import Pooled
from tests.board.test_page_browser import heading, order, page_of, playing, until
from tests.board.test_page_curves import WAVE, marks, recorded
from tests.boards import clip_names, results, video, videos
from tests.browser import complaints, narrow

METHODS = ("ground_truth", "copy_reference", "good", "worse")
WIDE, PHONE = (1280, 900), (390, 844)
DARK, LIGHT = "rgb(20, 23, 27)", "rgb(255, 255, 255)"
# Elements that reach out of the window, or out of what hides the rest of them; tables scroll in their boxes.
CUT = """
const wide = document.documentElement.clientWidth;
const all = document.querySelectorAll('body *:not(.sr, .skip, option, .scroll *, svg *)');
const seen = [...all].filter(element => element.offsetWidth);
const cut = seen.filter(element => {
  const box = element.getBoundingClientRect(), hides = getComputedStyle(element).overflowX === 'hidden';
  return box.right > wide + 0.5 || box.left < 0 || (hides && element.scrollWidth > element.clientWidth + 1);
});
return cut.map(element => element.outerHTML.slice(0, 200));
"""
CLIPS = [clip_names(8)[0], clip_names(8)[4]]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Every metric that there is, with wide values; videos whose first picture is black, and curves."""
    folder = tmp_path_factory.mktemp("looks")
    wave = np.sin(np.arange(8))
    scores = {
        name: {metric: (1 + place) * 11.1111 + wave for metric in DEFINITIONS if metric not in ("fid", "kid")}
        | {"seconds_per_frame": 0.0123 * (1 + place) + 0.001 * wave}
        for place, name in enumerate(METHODS)
    }
    pooled = {name: Pooled({"fid": 123.456 + place, "kid": 0.0123}, {}, 600) for place, name in enumerate(METHODS)}
    waves = recorded(*CLIPS[:1])
    other: list[float | None] = [0.05, None, 0.3, 0.2]
    for method in waves:
        waves[method][CLIPS[1]] = {"opening": other}
    run = results(folder / "run", scores, pooled=pooled, curves=waves)
    videos(run, [METHODS[0], METHODS[2]], clip_names(8), 2.0)
    for clip in CLIPS:
        video(run / "videos" / METHODS[1] / f"{clip}.mp4", 2.0)
    return page_of(folder, run)


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:  # noqa: ANN401
    browser.get("about:blank")
    narrow(browser, WIDE)
    browser.get(address)
    yield browser
    assert complaints(browser) == []
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@contextmanager
def scheme(browser: Any, name: str) -> Iterator[None]:  # noqa: ANN401
    """What the system asks for, light or dark."""
    wanted = [{"name": "prefers-color-scheme", "value": name}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wanted})
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def pixels(browser: Any, selector: str, place: int = 0) -> Any:  # noqa: ANN401
    """What can be seen of an element, float [H, W, 3]."""
    box = (
        "const box = document.querySelectorAll(arguments[0])[arguments[1]].getBoundingClientRect();"
        "return {x: box.x + scrollX, y: box.y + scrollY, width: box.width, height: box.height, scale: 1}"
    )
    clip = browser.execute_script(box, selector, place)
    taken = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    return np.asarray(Image.open(BytesIO(base64.b64decode(taken["data"]))).convert("RGB"), float)


def lines(browser: Any, name: str) -> list[str]:  # noqa: ANN401
    return list(
        browser.execute_script(
            "return [...document.querySelectorAll('.curve .' + arguments[0])].map(p => p.getAttribute('d'))", name
        )
    )


def colour(browser: Any, selector: str, name: str) -> str:  # noqa: ANN401
    return str(
        browser.execute_script(
            "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]", selector, name
        )
    )


def choose(browser: Any, clip: int) -> None:  # noqa: ANN401
    select = browser.find_element("css selector", ".player select")
    change = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('change'))"
    browser.execute_script(change, select, clip)


def ready(browser: Any) -> bool:  # noqa: ANN401
    """Whether all videos know their length."""
    return bool(browser.execute_script("return [...document.querySelectorAll('video[src]')].every(v => v.readyState)"))


def shown(browser: Any) -> list[str]:  # noqa: ANN401
    """Metrics whose columns can be seen."""
    heads = "[...document.querySelectorAll('th[data-metric]')].filter(t => t.offsetWidth)"
    return list(browser.execute_script(f"return {heads}.map(t => t.dataset.metric)"))


def test_nothing_is_black_before_it_plays(page: Any) -> None:  # noqa: ANN401
    """The first picture of these videos is black, the poster's frame is not."""
    loaded = page.execute_async_script(
        "const done = arguments[0]; Promise.all([...document.querySelectorAll('video[src]')].map(async video => {"
        "const image = new Image(); image.src = video.poster; await image.decode();"
        "return image.naturalWidth; })).then(done)"
    )
    assert loaded == [80, 80, 80]
    assert until(lambda: ready(page))
    greys = [pixels(page, ".frame", place)[8:-8, 8:-8].mean() for place in range(4)]
    assert greys[:3] == pytest.approx([12, 12, 52], abs=4)
    assert greys[3] > 200, "a row without a video has the colour of the page"
    choose(page, 1)
    assert until(lambda: abs(pixels(page, ".frame", 2)[8:-8, 8:-8].mean() - (40 + 7 * 4 + 3 * 2)) < 4)


def test_curves_show_the_recorded_numbers(page: Any) -> None:  # noqa: ANN401
    own = [marks(line) for line in lines(page, "own")]
    assert [up for _, up in own[0][0]] == [round(10_000 * value) for value in WAVE]
    assert [len(runs) for runs in own] == [1, 0, 2, 0]
    tall, box = page.execute_script(
        "const svg = document.querySelector('.curve svg');"
        "return [svg.querySelector('.own'), svg].map(e => e.getBoundingClientRect().height)"
    )
    assert tall / box == pytest.approx((max(WAVE) - min(WAVE)) / 0.2, abs=0.05)
    assert [box.is_displayed() for box in page.find_elements("css selector", ".curve")] == [True, False, True, False]
    choose(page, 1)
    assert lines(page, "own")[0] == "M0 500h0M2 3000 3 2000", "a lone frame is a dot"
    assert page.find_element("css selector", ".curve .top").text == "30 %"


def test_a_playhead_follows_the_videos(page: Any) -> None:  # noqa: ANN401
    svg = page.find_element("css selector", ".curve svg")
    page.execute_script("arguments[0].scrollIntoView({behavior: 'instant', block: 'center'})", svg)
    from selenium.webdriver import ActionChains

    assert until(lambda: ready(page))
    ActionChains(page).move_to_element(svg).click().perform()
    assert until(lambda: all(abs(one["time"] - 12 / 25) < 0.05 for one in playing(page)))
    page.find_element("css selector", "button.play").send_keys("\ue007")
    assert until(lambda: min(one["time"] for one in playing(page)) > 0.7)
    page.find_element("css selector", "button.play").send_keys("\ue007")
    (time,) = {round(one["time"], 4) for one in playing(page) if not one["muted"]}
    for line in lines(page, "head"):
        assert float(line[1:].partition(" ")[0]) == pytest.approx(min(25 * time, 24), abs=0.1)


def test_a_link_shows_its_clip_and_sorts_by_its_metric(page: Any, address: str) -> None:  # noqa: ANN401
    assert "mse" not in shown(page)
    key = page.execute_script("return document.querySelector('.group').id")
    page.get("about:blank")
    page.get(f"{address}#table={key}&clip={CLIPS[1]}&metric=mse")
    assert "mse" in shown(page)
    assert order(page) == ["good", "worse"]
    assert page.find_element("css selector", "th[data-metric=mse]").get_attribute("aria-sort") == "ascending"
    assert page.execute_script("return document.querySelectorAll('td.marked').length") == len(METHODS)
    assert all("c004" in one["source"] for one in playing(page))
    top = "return document.querySelector('.player').getBoundingClientRect().top"
    assert until(lambda: -5 < float(page.execute_script(top)) < 500)
    assert not page.find_element("css selector", ".asked").is_displayed()


def test_links_of_headings_and_clips_are_those_links(page: Any) -> None:  # noqa: ANN401
    columns = page.find_elements("css selector", "th[data-metric]")
    links = [column.find_element("css selector", "a.link") for column in columns]
    assert len(links) == len(DEFINITIONS) + 1
    for name in ("psnr", "lmd"):
        link = heading(page, name).find_element("css selector", "a.link")
        link.click()
        sorted_by = f"return document.querySelector('th[data-metric={name}]').getAttribute('aria-sort') !== 'none'"
        assert until(partial(page.execute_script, sorted_by))
        assert page.current_url == link.get_attribute("href")
    choose(page, 1)
    address = page.find_element("css selector", "a.link.clip").get_attribute("href")
    assert address.startswith("file://")
    page.get("about:blank")
    page.get(address)
    assert page.execute_script("return document.querySelector('.player select').value") == "1"
    assert page.execute_script("return document.querySelectorAll('.marked').length") == 0


def test_a_link_to_what_is_not_here_says_so(page: Any, address: str) -> None:  # noqa: ANN401
    page.get("about:blank")
    page.get(f"{address}#clip=s9/gone&metric=nonsense")
    told = page.find_element("css selector", ".asked").text
    assert "the metric nonsense in this table" in told
    assert f"videos of the clip s9/gone, only of {', '.join(CLIPS)}" in told
    page.execute_script("location.hash = '#metric=lmd'")
    assert until(lambda: not page.find_element("css selector", ".asked").is_displayed())


def test_dark_reaches_plots_and_curves(page: Any) -> None:  # noqa: ANN401
    seen = []
    for name in ("light", "dark"):
        with scheme(page, name):
            paint = [
                (".plot text:not(.tick, .axis)", "fill"),
                (".curve .own", "stroke"),
                (".curve .speaker", "fill"),
                ("table.board td", "color"),
            ]
            seen.append([colour(page, "body", "backgroundColor"), *(colour(page, *each) for each in paint)])
            plot = pixels(page, ".plot svg")
            corner = plot[:4, -4:].mean()
            assert corner == pytest.approx(255 if name == "light" else 23, abs=3)
            assert (np.abs(plot - corner).max(axis=2) > 100).sum() > 200, "text and marks stand out"
    light, dark = seen
    assert (light[0], dark[0]) == (LIGHT, DARK)
    assert all(one != other for one, other in zip(light, dark, strict=True))


def test_the_switch_holds_against_the_system_and_a_reload(page: Any) -> None:  # noqa: ANN401
    def button() -> Any:  # noqa: ANN401
        return page.find_element("css selector", "button.theme")

    with scheme(page, "light"):
        assert button().text == "Dark mode"
        button().click()
        assert (colour(page, "body", "backgroundColor"), button().text) == (DARK, "Light mode")
        page.refresh()
        assert colour(page, "body", "backgroundColor") == DARK
        button().click()
    with scheme(page, "dark"):
        assert colour(page, "body", "backgroundColor") == LIGHT
    page.execute_script("localStorage.clear()")


def test_no_table_scrolls_at_1280_before_all_is_asked_for(page: Any) -> None:  # noqa: ANN401
    page.execute_script("document.querySelectorAll('summary').forEach(s => s.click())")
    widths = "const d = document.documentElement; return [innerWidth, d.scrollWidth - d.clientWidth]"
    assert page.execute_script(widths) == [1280, 0]
    boxes = "return [...document.querySelectorAll('.scroll')].map(e => e.scrollWidth - e.clientWidth)"
    assert set(page.execute_script(boxes)) == {0}
    found = shown(page)
    assert found[:9] == ["lmd", "sync_c", "sync_similarity", "psnr", "ssim", "lpips_alex", "fid", "csim", "style_sim"]
    page.find_element("css selector", "button.all").click()
    assert len(shown(page)) == len(DEFINITIONS) + 1
    assert page.execute_script(widths) == [1280, 0]
    assert max(page.execute_script(boxes)) > 0
    page.find_element("css selector", "button.all").click()
    assert shown(page) == found


def test_a_wider_window_shows_more_columns(page: Any) -> None:  # noqa: ANN401
    before = shown(page)
    narrow(page, (1760, 900))
    assert until(lambda: len(shown(page)) > len(before))
    assert shown(page)[: len(before)] == before
    narrow(page, WIDE)
    assert until(lambda: shown(page) == before)


def test_nothing_is_cut_on_a_telephone(page: Any, address: str) -> None:  # noqa: ANN401
    narrow(page, PHONE)
    page.get(address)
    assert page.execute_script("const d = document.documentElement; return d.scrollWidth - d.clientWidth") == 0
    assert page.execute_script(CUT) == []
    found = shown(page)
    assert found[0] == "lmd"
    assert len(found) < 4
    box = page.find_element("css selector", ".scroll")
    assert page.execute_script("return arguments[0].scrollWidth - arguments[0].clientWidth", box) == 0


def test_a_page_without_its_videos_says_so(browser: Any, address: str, tmp_path: Path) -> None:  # noqa: ANN401
    alone = tmp_path / "alone.html"
    alone.write_bytes(Path(unquote(urlparse(address).path)).read_bytes())
    narrow(browser, WIDE)
    browser.get(alone.as_uri())
    note = browser.find_element("css selector", ".novideo")
    assert until(lambda: "keep the page and its folder of videos together" in note.text)
    assert pixels(browser, ".frame", 2)[8:60, 8:-8].mean() == pytest.approx(52, abs=4), "its poster is part of the page"
    assert len(complaints(browser)) == 3
