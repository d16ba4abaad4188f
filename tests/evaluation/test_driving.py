import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dubbench.datamodules.batch import Window
from dubbench.datamodules.clip import PreparedClip
from dubbench.evaluation.evaluate import evaluate
from dubbench.media.audio import read_speech
from dubbench.metrics import drive, ghost
from dubbench.protocols.protocol import load
from tests import talking
from tests.conftest import SIDE as SIZE
from tests.evaluation.methods import CLIPS, Actor, Copier
from tests.scored import record, table


def test_cross_drives_every_clip_by_another(prepared: Path, tmp_path: Path) -> None:
    method = Copier()
    evaluate(prepared, {"copier": method}, out=tmp_path, protocol="cross", clips=["ann/one", "ann/two"])
    with (tmp_path / "pairing.csv").open() as file:
        pairing = {row["clip"]: row["driving"] for row in csv.DictReader(file)}
    assert pairing.keys() == {"ann/one", "ann/two"}
    for clip, _, speech in method.asked:
        driver = PreparedClip(prepared, pairing[clip]).speech()
        count = talking.LENGTHS[clip] * 640
        assert pairing[clip] != clip
        assert len(speech) == count
        np.testing.assert_array_equal(speech[: len(driver)], driver[:count])
        assert not speech[len(driver) :].any()
    assert table(tmp_path)["copier", "lmd"]["protocol"] == "cross"
    path = tmp_path / "videos" / "copier" / "ann" / "one.mp4"
    sound = read_speech(path)[: min(talking.LENGTHS[pairing["ann/one"]], talking.LENGTHS["ann/one"]) * 640]
    pitch = np.argmax(np.abs(np.fft.rfft(sound))) * 16_000 / len(sound)
    assert pitch == pytest.approx(200 + 100 * CLIPS.index(pairing["ann/one"]), abs=5)


def test_whom_a_mouth_follows(prepared: Path, tmp_path: Path) -> None:
    clips = ["ann/one", "ann/two"]
    actor = Actor({clip: PreparedClip(prepared, clips[1 - k]) for k, clip in enumerate(clips)})
    rules = replace(load("cross"), metrics={"drive": 1, "ghost": 1})
    evaluate(prepared, {"actor": actor}, out=tmp_path, protocol=rules, clips=clips)
    found = table(tmp_path)
    assert float(found["ground_truth", "ghost"]["value"]) > 0.9
    # As the curves that are kept for the page give them, which have four digits.
    for clip in clips:
        parts = [json.loads((tmp_path / f"parts/{row}/{clip}.json").read_text()) for row in ("actor", "ground_truth")]
        curves = [np.array(curve, float) for curve in (parts[0]["curves"]["opening"], parts[1]["curves"]["driver"])]
        truth = np.array(parts[1]["curves"]["opening"], float)
        for name, metric in (("drive", drive), ("ghost", ghost)):
            assert parts[0]["values"][name] == pytest.approx(metric(curves[0], truth, curves[1]), abs=0.05)
    own = evaluate(prepared, {}, out=tmp_path / "own", protocol=replace(rules, driving="own"), clips=clips[:1])
    assert "driven by its own speech" in json.dumps(record(own))


def test_references_are_the_protocols(prepared: Path, tmp_path: Path) -> None:
    method = Copier()
    for protocol in ("first_frame", "native"):
        evaluate(prepared, {"copier": method}, out=tmp_path / protocol, protocol=protocol, clips=["ann/one"])
    method.window = Window(frames=1, references=2, size=SIZE, reference_rule="first")
    evaluate(prepared, {"copier": method}, out=tmp_path / "rule", protocol="native", clips=["ann/one"])
    first, native, rule = (references for _, references, _ in method.asked)
    assert first == [0]
    assert len(set(native)) == 3
    assert max(native) < talking.LENGTHS["ann/one"]
    assert rule == [0, 1]
