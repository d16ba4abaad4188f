"""A real headless Chromium for tests of pages: Debian's ``chromium`` and ``chromium-driver`` through selenium."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

WIDE, NARROW = (1280, 900), (360, 740)
SWITCHES = (
    "headless=new", "no-sandbox", "disable-dev-shm-usage", "mute-audio", "disable-gpu", "disable-quic", "no-first-run",
    "disable-background-networking", "disable-component-update", "disable-sync",
)  # fmt: skip


@contextmanager
def chromium(downloads: Path, size: tuple[int, int] = WIDE) -> Iterator[Any]:
    """A browser whose downloads go to a folder; without Chromium here the test is skipped.

    Args:
        downloads: folder.
        size: of the window in CSS pixels.

    Yields:
        a selenium ``WebDriver``.
    """
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("needs a browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for switch in SWITCHES:
        options.add_argument(f"--{switch}")
    options.add_argument(f"--window-size={size[0]},{size[1]}")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        yield browser
    finally:
        browser.quit()


def narrow(browser: Any, size: tuple[int, int] = NARROW) -> None:  # noqa: ANN401
    """Give the page a telephone's width, which a window of a headless browser cannot have."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def requested(browser: Any) -> list[str]:  # noqa: ANN401
    """Addresses that the page asked for since the last call; ``blob:`` and ``data:`` are its own."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [url for url in asked if not url.startswith(("blob:", "data:"))]


def complaints(browser: Any) -> list[str]:  # noqa: ANN401
    """Errors in the console since the last call."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
