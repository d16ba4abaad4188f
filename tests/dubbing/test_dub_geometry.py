"""Methods with a face model: its coefficients are fitted on the way, in stretches where a clip is long."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest

from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.geometry import read_geometry
from dubbench.dubbing import clips
from dubbench.face.landmarks import FaceMesh
from dubbench.face3d.sources import learn_mesh
from dubbench.models.two_stages import TwoStages
from tests.data.videos import blank, portraits
from tests.dubbed import checkpoint, dubbed, planes, tone, video
from tests.models.realtalk.small import small

FRAMES = 24


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A RealTalk that thinks it is trained, speech, and a video whose face is away for a third of it."""
    folder, faces = tmp_path_factory.mktemp("inputs"), portraits(FRAMES)
    with FaceMesh() as detector:
        meshes = np.stack([detector.detect(face)[0] for face in faces])
    model = small(vertices=468, shapes=80, expressions=64)
    model.held_face.adopt(learn_mesh([("ann", meshes[::2] * 2), ("bob", meshes[1::2] * 2)]))
    cast(TwoStages, model.ema.module).trained_stages.fill_(True)
    checkpoint(folder / "realtalk.ckpt", model)
    tone(folder / "tone.wav", FRAMES / 25)
    video(folder / "face.mp4", [*faces[:8], *blank(8), *faces[16:]])
    return folder


def fitted(inputs: Path, folder: Path) -> PreparedClip:
    report = dubbed(folder, inputs / "realtalk.ckpt", inputs / "face.mp4", inputs / "tone.wav", crf=0, keep=True)
    assert report.frames == FRAMES
    return PreparedClip(folder / "out.mp4.work", "faces")


def test_stretches_fit_as_the_whole_does(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fitted(inputs, tmp_path / "whole")
    monkeypatch.setattr(clips, "TOGETHER", 6)  # some stretches show no face at all
    pieces = fitted(inputs, tmp_path / "pieces")
    seen, (file,) = whole.detected(), whole.folder.glob("geometry.*.npz")
    digest = file.name.split(".")[1]
    errors = []
    for clip in (whole, pieces):
        found = read_geometry(clip, digest)
        assert all(np.isfinite(found.rows(name)).all() for name in ("shape", "expression", "pose"))
        assert (np.isnan(found.error) == ~seen).all()
        errors.append(found.error[seen].mean())
    assert max(errors) < 0.03
    assert 4 <= (~seen).sum() <= 9
    before, after = planes(inputs / "face.mp4"), planes(tmp_path / "pieces" / "out.mp4")
    changed = [any((a != b).any() for a, b in zip(*pair, strict=True)) for pair in zip(before, after, strict=True)]
    assert (np.array(changed) == seen).all()
