"""The mesh detector on real clips, through both of mediapipe's APIs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dubbench.errors import DubbenchError
from dubbench.face.landmarks import FaceMesh, points_68
from dubbench.media.video import read_frames
from tests import ROOT

Clip = list[NDArray[np.uint8]]
Api = Literal["solutions", "tasks"]
BOTH = pytest.mark.parametrize("api", ["solutions", "tasks"])


@pytest.fixture(autouse=True)
def asset_folder(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUBBENCH_ASSETS", str(shared / "assets"))


@pytest.fixture(scope="module")
def clips(shared: Path) -> tuple[Clip, Clip]:
    return (
        list(read_frames(shared / "data/grid/u_lwbsza/lwbsza.mpg"))[:20],
        list(read_frames(shared / "data/talking/retalking_5.mp4"))[:20],
    )


def meshes(mesh: FaceMesh, clip: Clip) -> NDArray[np.float32]:
    found = [mesh.detect(frame) for frame in clip]
    assert {len(faces) for faces in found} == {1}
    return np.stack([faces[0] for faces in found])


@BOTH
def test_a_clip_does_not_depend_on_the_one_before(api: Api, clips: tuple[Clip, Clip]) -> None:
    with FaceMesh(api=api) as mesh:
        alone = meshes(mesh, clips[1])
    with FaceMesh(api=api) as mesh:
        meshes(mesh, clips[0])
        mesh.reset()
        after = meshes(mesh, clips[1])
        mesh.reset()
        again = meshes(mesh, clips[1])
    assert alone.shape == (20, 478, 3)
    assert alone.dtype == np.float32
    np.testing.assert_array_equal(after, alone)
    np.testing.assert_array_equal(again, alone)


@BOTH
@pytest.mark.parametrize("frame", ["grid_lwbsza_f020", "retalking_1_f030", "wda_katie_f050"])
def test_points_lie_where_the_reference_found_them(api: Api, frame: str, shared: Path) -> None:
    image = np.ascontiguousarray(cv2.imread(str(shared / f"goldens/align_{frame}_source.png"))[..., ::-1])
    wanted = np.array(json.loads((shared / "goldens/landmarks_68.json").read_text())["frames"][frame]["landmarks_68"])
    with FaceMesh(api=api) as mesh:
        (face,) = mesh.detect(image)
    eyes = np.linalg.norm(wanted[42:48].mean(0) - wanted[36:42].mean(0))
    # The reference's model has no attention to lips and eyes, hence the tolerance.
    assert np.linalg.norm(points_68(face) - wanted, axis=1).mean() < 0.04 * eyes


@BOTH
def test_coordinates_scale_with_the_frame_and_depth_with_its_width(api: Api, clips: tuple[Clip, Clip]) -> None:
    image = clips[1][0]
    width = image.shape[1]
    wide = np.pad(image, ((0, 0), (0, width), (0, 0)))
    with FaceMesh(api=api) as mesh:
        (narrow_face,) = mesh.detect(image)
        mesh.reset()
        (wide_face,) = mesh.detect(wide)
    face_width = np.ptp(narrow_face[:, 0])
    assert np.abs(wide_face - narrow_face).mean() < 0.02 * face_width
    assert 0.3 < np.ptp(narrow_face[:, 2]) / face_width < 1.5


@BOTH
def test_two_faces_come_largest_first_and_none_is_an_empty_list(api: Api, clips: tuple[Clip, Clip]) -> None:
    small, large = clips[0][0], clips[1][0]
    pair = np.zeros((large.shape[0], small.shape[1] + large.shape[1], 3), np.uint8)
    pair[: small.shape[0], : small.shape[1]] = small
    pair[:, small.shape[1] :] = large
    with FaceMesh(api=api) as mesh:
        assert mesh.detect(np.full((120, 160, 3), 90, np.uint8)) == []
        mesh.reset()
        first, second = mesh.detect(pair)
        assert mesh.backend.startswith(f"mediapipe-{api}-0.10.")
    assert first[:, 0].min() > small.shape[1] > second[:, 0].max()
    with FaceMesh(max_faces=1, api=api) as mesh:
        assert len(mesh.detect(pair)) == 1


def test_the_tasks_api_without_its_model_names_both_remedies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for folder in ("", str(tmp_path)):
        monkeypatch.setenv("DUBBENCH_ASSETS", folder)
        with pytest.raises(DubbenchError, match=r"DUBBENCH_ASSETS.*or install mediapipe==0\.10\.21"):
            FaceMesh(api="tasks")


@BOTH
def test_stderr_stays_clean_but_errors_come_through(api: Api, shared: Path) -> None:
    code = f"""
import os, cv2
from dubbench.face.landmarks import FaceMesh, _quiet
image = cv2.imread({str(shared / "goldens/align_grid_lwbsza_f020_source.png")!r})[..., ::-1].copy()
with FaceMesh(api={api!r}) as mesh:
    for _ in range(2):
        assert len([mesh.detect(image) for _ in range(5)][-1]) == 1
        mesh.reset()
with _quiet():
    os.write(2, b"E0000 something real\\nI0000 chatter\\n")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == "E0000 something real\n"
