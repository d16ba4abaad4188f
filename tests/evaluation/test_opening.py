import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dubbench.cli import main
from dubbench.datamodules.clip import PreparedClip
from dubbench.evaluation.evaluate import evaluate
from dubbench.face.landmarks import FaceMesh
from dubbench.media.video import read_frames
from tests import talking

UPPER, LOWER, RIGHT, LEFT = 13, 14, 33, 263  # of the mesh: middles of the inner lips, outer corners of the eyes
HIDDEN = (5, 6, 7, 8)


def part(results: Path, method: str, clip: str) -> dict[str, list[float | None]]:
    found: dict[str, list[float | None]] = json.loads((results / "parts" / method / f"{clip}.json").read_text())[
        "curves"
    ]
    return found


def opening(mesh: NDArray[np.float32], eyes: NDArray[np.float32]) -> float:
    return float(np.hypot(*(mesh[UPPER] - mesh[LOWER])[:2]) / np.hypot(*(eyes[RIGHT] - eyes[LEFT])[:2]))


def own_opening(clip: PreparedClip) -> list[float]:
    return [opening(mesh, mesh) for mesh in clip.mesh()]


@pytest.fixture(scope="module")
def hidden(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Results of a video that shows no face in four frames, and the video."""
    place = tmp_path_factory.mktemp("opening")
    images = list(talking.frames("ann/one"))
    for k in HIDDEN:
        images[k] = np.full_like(images[k], 127)
    talking.write(place / "videos" / "ann" / "one.mp4", images)
    words = ["--videos", str(place / "videos"), "--method", "odd", "--out", str(place / "results"), "--limit", "1"]
    assert main(["eval", *words, "--dataset", "folder", "--dataset.root", str(prepared)]) == 0
    return place / "results", place / "videos" / "ann" / "one.mp4"


def test_eval_records_the_lips_over_the_eyes_of_every_frame(hidden: tuple[Path, Path], prepared: Path) -> None:
    truth = own_opening(PreparedClip(prepared, "ann/one"))
    assert part(hidden[0], "ground_truth", "ann/one") == {"opening": pytest.approx(truth, abs=2e-4)}
    assert np.ptp(truth) > 0.01
    copied = part(hidden[0], "copy_reference", "ann/one")["opening"]
    assert np.abs(np.array(copied, float) - truth).max() > 0.005, "a copied mouth is no talking one"


def test_videos_are_measured_by_the_eyes_of_the_ground_truth(hidden: tuple[Path, Path], prepared: Path) -> None:
    results, video = hidden
    found = part(results, "odd", "ann/one")["opening"]
    meshes = PreparedClip(prepared, "ann/one").mesh()
    with FaceMesh() as detector:
        faces = [detector.detect(frame) for frame in read_frames(video)]
    wanted = [opening(face[0], eyes) if face else None for face, eyes in zip(faces, meshes, strict=True)]
    assert [value is None for value in found] == [value is None for value in wanted]
    assert all(found[k] is None for k in HIDDEN)
    known = [(own, other) for own, other in zip(found, wanted, strict=True) if own is not None and other is not None]
    assert len(known) > 10
    assert [own for own, _ in known] == pytest.approx([other for _, other in known], abs=2e-4)


def test_cross_records_who_speaks_beside_the_ground_truth(prepared: Path, tmp_path: Path) -> None:
    evaluate(prepared, {}, out=tmp_path, protocol="cross", clips=["ann/one", "bob/one"])
    pairs = dict(line.split(",") for line in (tmp_path / "pairing.csv").read_text().splitlines()[1:])
    for clip, driving in pairs.items():
        frames = talking.LENGTHS[clip]
        curves = part(tmp_path, "ground_truth", clip)
        assert curves["opening"] == pytest.approx(own_opening(PreparedClip(prepared, clip)), abs=2e-4)
        assert curves["driver"] == pytest.approx(own_opening(PreparedClip(prepared, driving))[:frames], abs=2e-4)
        assert part(tmp_path, "copy_reference", clip).keys() == {"opening"}
