"""Pages load their own script, style and videos, and nothing that a name might smuggle in."""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest

from dubbench.cli import main
from tests import filmed
from tests.boards import results, video
from tests.browser import chromium, requested

SCRIPT = "const own = document.createElement('script'); own.textContent = 'window.ran = 1'; document.body.append(own);"
FETCH = "const done = arguments[0]; fetch('data:,x').then(() => done('came'), () => done('refused'));"


def board(folder: Path) -> Path:
    made = results(folder / "run", {"mine": {"psnr": [30.0, 31.0]}})
    video(made / "videos/mine/s1/c000.mp4", 0.2)
    page = folder / "page.html"
    assert main(["leaderboard", str(made), "--out", str(folder / "w.csv"), "--html", str(page)]) == 0
    return page


def study(folder: Path) -> Path:
    made = filmed.results(folder / "run", ["ground_truth", "dinet"], ["s1/a", "s1/b"])
    assert main(["study", "make", str(made), "--out", str(folder / "study"), "--title", "</script><img src=x>"]) == 0
    return folder / "study/index.html"


PAGES = {"board": board, "study": study}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_allows_its_own_script_and_style_alone(page: str, tmp_path: Path) -> None:
    text = PAGES[page](tmp_path).read_text()
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', text)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    for tag in ("script", "style"):
        (own,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.S)
        assert rules[f"{tag}-src"] == f"'sha256-{b64encode(sha256(own.encode()).digest()).decode()}'"
    assert {name: rules[name] for name in ("default-src", "base-uri", "form-action", "img-src", "media-src")} == {
        "default-src": "'none'", "base-uri": "'none'", "form-action": "'none'", "img-src": "data:",
        "media-src": "'self' file:",
    }  # fmt: skip
    assert not re.findall(r"<[^>]* (?:style|on[a-z]+)=", text)


@pytest.mark.parametrize("page", PAGES)
def test_a_browser_runs_and_sends_nothing_else(page: str, tmp_path: Path) -> None:
    path = PAGES[page](tmp_path)
    with chromium(tmp_path) as browser:
        browser.get(path.as_uri())
        browser.execute_script(SCRIPT)
        assert browser.execute_script("return window.ran") is None
        assert browser.execute_async_script(FETCH) == "refused"
        assert all(url.startswith(tmp_path.as_uri()) for url in requested(browser))


def test_a_study_of_one_clip_says_what_it_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = filmed.results(tmp_path / "run", ["ground_truth", "dinet"], ["s1/a"])
    assert main(["study", "make", str(made), "--out", str(tmp_path / "study"), "--clips", "2"]) == 1
    assert "--clips 2 cannot be drawn from 1; a study needs two clips" in capsys.readouterr().err
