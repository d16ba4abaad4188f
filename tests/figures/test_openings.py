"""The picture of two mouths: each line lies where its numbers are."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from dubbench.cli import main
from dubbench.results.rows import ClipResult

CLIP, DRIVER = "ann/one", "ann/two"
TIME = np.arange(75) / 25
SOURCE, SPOKEN = 0.1 + 0.1 * np.sin(5 * TIME), 0.1 + 0.1 * np.cos(9 * TIME)


def results(folder: Path, *, crossed: bool = True) -> Path:
    """What ``dubbench eval`` leaves of a method that hears, and of one that reads."""
    rows = {"ground_truth": SOURCE, "hears": SPOKEN, "reads": SOURCE}
    for method, curve in rows.items():
        curves = {"opening": [round(float(value), 4) for value in curve]}
        if crossed and method == "ground_truth":
            curves["driver"] = [round(float(value), 4) for value in SPOKEN]
        values = {"drive": float(method == "hears"), "ghost": float(method != "hears")}
        part = ClipResult(method, CLIP, "f", frames=75, values=values, curves=dict(curves))  # type: ignore[arg-type]
        part.write(folder / "parts" / method / f"{CLIP}.json")
    (folder / "run.json").write_text(json.dumps({"methods": {method: {} for method in rows}}))
    (folder / "summary.csv").touch()
    if crossed:
        (folder / "pairing.csv").write_text(f"clip,driving\n{CLIP},{DRIVER}\n")
    return folder


def test_a_dubbed_line_lies_on_the_one_that_it_follows(tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    words = ["figure", "openings", str(results(tmp_path / "run")), "--clip", CLIP, "--out", str(out)]
    assert main([*words, "--methods", "hears", "reads"]) == 0
    picture = cv2.imread(str(out)).astype(int)
    blue, green, red = (picture[..., k] for k in range(3))
    black = (picture.max(-1) < 60).astype(np.uint8)
    orange = ((red > 200) & (green > 100) & (green < 180) & (blue < 80)).astype(np.uint8)
    grey = ((abs(red - 153) < 12) & (abs(green - 153) < 12) & (abs(blue - 153) < 12)).astype(np.uint8)
    beside = np.ones((5, 5), np.uint8)
    middle = len(picture) * 4 // 10
    on = {}
    for name, rows in (("hears", slice(0, middle)), ("reads", slice(middle, len(picture) * 8 // 10))):
        counted = [int((black & cv2.dilate(colour, beside))[rows].sum()) for colour in (orange, grey)]
        on[name] = counted
    assert on["hears"][0] > 4 * on["hears"][1]
    assert on["reads"][1] > 4 * on["reads"][0]
    again = tmp_path / "again.png"
    assert main([*words[:-1], str(again), "--methods", "hears", "reads"]) == 0
    assert again.read_bytes() == out.read_bytes()


@pytest.mark.parametrize(
    ("crossed", "more", "told"),
    [
        (True, ["--clip", "ann/six"], "no results here recorded ann/six"),
        (True, ["--clip", CLIP, "--methods", "wav2lip"], "no wav2lip of ann/one is in these results; there are ground"),
        (False, ["--clip", CLIP], "ann/one is driven by its own speech here; score it under a cross protocol"),
    ],
)
def test_what_cannot_be_drawn_is_a_sentence(
    tmp_path: Path, crossed: bool, more: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = results(tmp_path / "run", crossed=crossed)
    assert main(["figure", "openings", str(folder), *more, "--out", str(tmp_path / "out.png")]) == 1
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()
