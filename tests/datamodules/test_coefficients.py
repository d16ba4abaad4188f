import os
import shutil
from collections import Counter
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dubbench.core.arrays import write_arrays
from dubbench.datamodules.batch import Batch, Window
from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.datamodule import make_loader
from dubbench.datamodules.geometry import geometry_name
from dubbench.datamodules.stream import SameSampler
from dubbench.datamodules.windows import Place, WindowDataset, read_windows, reference_frames, style_frames
from dubbench.errors import DubbenchError
from dubbench.face3d import raster
from dubbench.face3d.model import LinearFaceModel, project
from dubbench.models.base import DubbingModel, class_path
from tests.datamodules import miniature
from tests.datamodules.miniature import SIZE, Clip, fingerprint

WINDOW = Window(
    frames=9,
    references=5,
    size=SIZE,
    reference_rule="adjacent",
    geometry="mesh",
    pictures=1,
    pncc=True,
    lips=True,
    face_references=2,
    reach=3,
)
CLIPS = [Clip("anna/one", 30), Clip("anna/two", 14), Clip("bert/one", 20), Clip("bert/val", 12, "val")]


@pytest.fixture(scope="module")
def model() -> LinearFaceModel:
    return miniature.face_model()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, model: LinearFaceModel) -> Path:
    folder = miniature.make(tmp_path_factory.mktemp("geometry"), CLIPS)
    miniature.write_geometry(folder, CLIPS, model)
    return folder


def drawn(model: LinearFaceModel, clip: Clip, frames: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """PNCC maps and lip masks of some frames, put together from the parts; the upper face is at rest."""
    values = {name: torch.from_numpy(array[frames]) for name, array in miniature.coefficients(clip).items()}
    vertices, upper = model.vertices(values["shape"], values["expression"]), model.regions["upper_face"]
    vertices[:, upper] = model.vertices(values["shape"], torch.zeros_like(values["expression"]))[:, upper]
    posed = project(vertices, values["pose"], SIZE).numpy()
    maps = raster.rasterise(posed, model.triangles.numpy(), model.pncc().numpy(), SIZE)
    lips = raster.lip_masks(posed[:, model.regions["lips"].numpy()], SIZE)
    return torch.from_numpy(maps), torch.from_numpy(lips)


@pytest.mark.parametrize("pictures", [None, 0, 1, 4])
def test_a_window_holds_the_geometry_it_says(root: Path, model: LinearFaceModel, pictures: int | None) -> None:
    window, clip, start, references = replace(WINDOW, pictures=pictures), CLIPS[0], 7, [29, 0, 11, 11, 3]
    batch = read_windows([Place(PreparedClip(root, clip.clip), start, np.array(references))], window)
    targets = list(range(start, start + 9))
    shown = {None: targets, 0: [], 1: [11], 4: [9, 10, 11, 12]}[pictures]
    assert batch.face == model.hash()
    values = miniature.coefficients(clip)
    for name in ("shape", "expression", "pose"):
        assert torch.equal(getattr(batch, name)[0], torch.from_numpy(values[name][targets]))
    for name in ("shape", "expression"):
        assert torch.equal(getattr(batch, f"reference_{name}")[0], torch.from_numpy(values[name][references]))
    assert batch.indices[0].tolist() == targets
    assert (batch.picture_indices is None) == (pictures is None)
    assert batch.picture_indices is None or batch.picture_indices[0].tolist() == shown
    levels = (batch.frames[0].mean(dim=(1, 2, 3)) + 1) * 127.5
    np.testing.assert_allclose(levels, [miniature.grey(k) for k in shown], atol=1)
    np.testing.assert_allclose(batch.points[0], miniature.aligned_points(clip)[shown], atol=1e-4)
    np.testing.assert_allclose(batch.reference_points[0], miniature.aligned_points(clip)[references], atol=1e-4)
    for name, frames in (("", shown), ("reference_", references)):
        maps, lips = drawn(model, clip, frames)
        assert torch.equal(getattr(batch, f"{name}pncc")[0], maps)
        assert torch.equal(getattr(batch, f"{name}lips")[0], lips)
    assert batch.reference_pncc is not None
    assert batch.reference_lips is not None
    assert 0 < (batch.reference_pncc.amax(2) > 0).float().mean() < 1
    assert 0 < batch.reference_lips.mean() < 0.5
    assert batch.waveform.shape == (1, 9 * 640)


def test_only_what_is_asked_for(root: Path) -> None:
    place = Place(PreparedClip(root, "anna/one"), 3, np.array([], dtype=np.int64))
    bare = read_windows([place], Window(frames=2, references=0, size=SIZE))
    asked = {"frames", "references", "waveform", "points", "reference_points", "indices", "reference_indices"}
    assert {f.name for f in fields(Batch) if isinstance(getattr(bare, f.name), torch.Tensor)} == asked
    assert bare.face == ""
    style = read_windows([place], Window(frames=4, references=0, size=SIZE, geometry="mesh", pictures=0))
    assert style.frames.shape == (1, 0, 3, SIZE, SIZE)
    assert style.points.shape == (1, 0, 68, 2)
    assert style.expression is not None
    assert style.expression.shape == (1, 4, 2)
    assert style.pncc is style.lips is style.reference_pncc is style.reference_lips is None


@pytest.mark.parametrize("count", [0, 1, 3])
def test_maps_of_the_decoded_references_alone_are_drawn(root: Path, model: LinearFaceModel, count: int) -> None:
    clip, references = CLIPS[0], [29, 0, 11, 11, 3]
    window = replace(WINDOW, pictures=0, reference_pictures=count)
    batch = read_windows([Place(PreparedClip(root, clip.clip), 7, np.array(references))], window)
    assert batch.reference_pncc is not None
    assert batch.reference_lips is not None
    assert batch.reference_pncc.shape == (1, count, 3, SIZE, SIZE)
    maps, lips = drawn(model, clip, references[:count])
    assert torch.equal(batch.reference_pncc[0], maps)
    assert torch.equal(batch.reference_lips[0], lips)
    values = miniature.coefficients(clip)
    for name in ("shape", "expression"):
        assert torch.equal(getattr(batch, f"reference_{name}")[0], torch.from_numpy(values[name][references]))
    assert batch.reference_indices[0].tolist() == references


def test_coefficients_of_references_without_pictures_open_no_video(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "root")
    (tmp_path / "root/anna/one/video.mp4").unlink()
    rule = Window(4, 3, SIZE, "history", geometry="mesh", pictures=0, reference_pictures=0)
    batch = read_windows([Place(PreparedClip(tmp_path / "root", "anna/one"), 3, np.array([0, 20, 9]))], rule)
    assert batch.references.shape == (1, 0, 3, SIZE, SIZE)
    assert batch.reference_expression is not None
    assert batch.reference_expression.shape == (1, 3, 2)


def test_a_window_without_pictures_opens_no_video(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "root")
    (tmp_path / "root/anna/one/video.mp4").unlink()
    place = Place(PreparedClip(tmp_path / "root", "anna/one"), 3, np.array([], dtype=np.int64))
    batch = read_windows([place], Window(frames=4, references=0, size=SIZE, geometry="mesh", pictures=0))
    assert batch.pose is not None
    assert batch.pose.shape == (1, 4, 6)


def test_a_batch_is_the_same_with_any_number_of_workers(root: Path) -> None:
    dataset = WindowDataset(root, WINDOW, "train", length=6, seed=2)
    alone, shared = (
        [fingerprint(batch) for batch in make_loader(dataset, 3, workers, sampler=SameSampler(dataset))]
        for workers in (0, 2)
    )
    assert alone == shared
    assert len(set(alone)) == 2


def test_a_batch_holds_its_windows_in_order_and_moves_whole(root: Path) -> None:
    dataset = WindowDataset(root, WINDOW, "train", length=6)
    places = [dataset[index] for index in (4, 0, 2)]
    batch = dataset.collate(places)
    for row, place in enumerate(places):
        alone = dataset.collate([place])
        for field in fields(Batch):
            value = getattr(batch, field.name)
            if isinstance(value, torch.Tensor):
                assert value.is_contiguous()
                assert torch.equal(value[row], getattr(alone, field.name)[0])
    moved = batch.to("meta")
    assert moved.face == batch.face
    assert moved.pncc is not None
    assert moved.pncc.device.type == "meta"


def test_adjacent_references_lie_around_the_middle_and_anywhere() -> None:
    random, usable = np.random.default_rng(0), np.ones(40, bool)
    near, far = Counter[int](), Counter[int]()
    for _ in range(3000):
        references = reference_frames(WINDOW, 10, usable, random)
        assert len(set(references[:2])) == 2
        assert len(set(references[2:])) == 3
        near.update(references[:2].tolist())
        far.update(references[2:].tolist())
    assert set(near) == {11, 12, 13, 15, 16, 17}
    assert set(far) == set(range(40)) - {14}
    assert max(near.values()) < 1.2 * min(near.values())
    assert max(far.values()) < 1.5 * min(far.values())


def test_adjacent_references_at_the_edges_and_without_enough_frames() -> None:
    random = np.random.default_rng(0)
    first = {int(k) for _ in range(50) for k in reference_frames(WINDOW, 0, np.ones(40, bool), random)[:2]}
    assert first == {1, 2, 3, 5, 6, 7}
    wide = replace(WINDOW, frames=1, face_references=5, references=9, reach=12)
    assert set(reference_frames(wide, 0, np.ones(1, bool), random)) == {0}
    three = reference_frames(wide, 1, np.ones(3, bool), random)
    assert len(three) == 9
    assert set(three) <= {0, 2}
    usable = np.ones(40, bool)
    usable[[11, 12, 13, 15]] = False
    drawn = {int(k) for _ in range(50) for k in reference_frames(WINDOW, 10, usable, random)}
    assert not drawn & {11, 12, 13, 14, 15}
    every = replace(WINDOW, pictures=None)
    assert not set(reference_frames(every, 10, np.ones(40, bool), random)[2:]) & set(range(10, 19))


STYLED = replace(WINDOW, style_frames=10)


def test_style_frames_hold_the_whole_clip_but_the_window(root: Path, tmp_path: Path) -> None:
    missed = [Clip("anna/one", 40, missed=(2, 3, 30))]
    folder = miniature.make(tmp_path / "root", missed)
    miniature.write_geometry(folder, missed, miniature.face_model())
    for most, part in ((100, (0.0, 1.0)), (10, (0.0, 1.0)), (100, (0.5, 1.0))):
        dataset = WindowDataset(folder, replace(STYLED, style_frames=most), "train", length=20, part=part)
        first, last = (round(share * 40) for share in part)
        for index in range(20):
            place = dataset[index]
            window = range(place.start, place.start + 9)
            outside = [k for k in range(first, last) if k not in window and k not in (2, 3, 30)]
            expected = outside if most == 100 else outside[:: -(-len(outside) // 10)]
            assert place.style.tolist() == expected
            assert len(expected) > most // 2 or most == 100


@pytest.mark.parametrize(
    ("usable", "expected"),
    [([1, 1, 1, 1, 1], [0, 1, 2, 3, 4]), ([1, 0, 0, 1, 1], [0, 3, 4]), ([0, 0, 0, 0, 0], [0, 1, 2, 3, 4])],
)
def test_a_clip_that_is_nothing_but_the_window_tells_its_style_itself(usable: list[int], expected: list[int]) -> None:
    rule = replace(STYLED, frames=5)
    assert style_frames(rule, 0, np.array(usable, bool)).tolist() == expected
    # A frame without a face outside the window is no answer, one with a face in it is.
    assert style_frames(rule, 0, np.array([*usable, 0], bool)).tolist() == [5]


def test_a_batch_holds_the_style_frames_and_says_how_many(root: Path) -> None:
    places = [
        Place(PreparedClip(root, clip), 2, np.arange(5), style=np.array(style))
        for clip, style in (("anna/one", [0, 12, 29]), ("bert/one", list(range(11, 20))))
    ]
    batch = read_windows(places, STYLED)
    assert batch.style_indices is not None
    assert batch.style_indices.tolist() == [[0, 12, 29] + 7 * [-1], [*range(11, 20), -1]]
    for name in ("shape", "expression"):
        found = getattr(batch, f"style_{name}")
        for row, place in zip(found, places, strict=True):
            clip = next(clip for clip in CLIPS if clip.clip == place.clip.info.clip)
            values = miniature.coefficients(clip)[name]
            assert torch.equal(row[: len(place.style)], torch.from_numpy(values[place.style]))
            assert not row[len(place.style) :].any()
    assert read_windows(places, WINDOW).style_indices is None


def test_style_frames_draw_nothing(root: Path) -> None:
    plain, styled = (WindowDataset(root, window, "train", length=12, seed=3) for window in (WINDOW, STYLED))
    for index in range(12):
        assert len(styled[1, index].style)
        assert (plain[1, index].clip.info, plain[1, index].start) == (
            styled[1, index].clip.info,
            styled[1, index].start,
        )
        assert np.array_equal(plain[1, index].references, styled[1, index].references)


def test_style_frames_are_the_same_whatever_the_mouth_does_in_the_window(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "root")
    dataset, other = (WindowDataset(folder, STYLED, "train", length=3) for folder in (root, tmp_path / "root"))
    for index in range(3):
        place = dataset[index]
        path = tmp_path / "root" / place.clip.info.clip / geometry_name(miniature.face_model().hash())
        arrays = dict(np.load(path))
        for name in ("shape", "expression"):
            arrays[name][place.start : place.start + 9] += 1
        np.savez(path, **arrays)
        one, changed = dataset.collate([place]), other.collate([other[index]])
        for name in ("indices", "shape", "expression"):
            assert torch.equal(getattr(one, f"style_{name}"), getattr(changed, f"style_{name}"))
        assert one.expression is not None
        assert changed.expression is not None
        torch.testing.assert_close(one.expression + 1, changed.expression)


def test_style_frames_do_not_tell_how_far_the_mouth_opens(tmp_path: Path) -> None:
    """Of a mouth that stays open for a fifth of a second, references of the rule ``adjacent`` tell."""
    model, random = miniature.face_model(), np.random.default_rng(0)
    clips = [Clip(f"anna/{number:02}", 75) for number in range(24)]
    root = miniature.make(tmp_path / "root", clips)
    model.save(root / "face_mesh.npz")
    for clip in clips:
        arrays = miniature.coefficients(clip)
        arrays["expression"][:, 0] = np.convolve(random.normal(size=79), np.ones(5), "valid")
        write_arrays(root / clip.clip / geometry_name(model.hash()), arrays)
    rule = replace(STYLED, frames=25, pictures=0, reference_pictures=0, reach=12, style_frames=250)
    batch = read_windows([WindowDataset(root, rule, "train", length=200)[index] for index in range(200)], rule)
    assert batch.expression is not None
    assert batch.reference_expression is not None
    assert batch.style_expression is not None
    assert batch.style_indices is not None
    opening = batch.expression[..., 0].mean(1)
    told = batch.reference_expression[..., 0].mean(1)
    style = batch.style_expression[..., 0].sum(1) / (batch.style_indices >= 0).sum(1)
    assert torch.corrcoef(torch.stack([opening, told]))[0, 1] > 0.4
    assert torch.corrcoef(torch.stack([opening, style]))[0, 1] < 0.2


def test_pictures_need_not_be_of_the_clips_stored_size(root: Path, model: LinearFaceModel) -> None:
    place = Place(PreparedClip(root, "bert/one"), 2, np.array([0, 5, 9, 9, 1]))
    small, large = (read_windows([place], replace(WINDOW, size=size)) for size in (32, 128))
    assert small.reference_pncc is not None
    assert large.reference_pncc is not None
    shrunk = torch.nn.functional.avg_pool2d(large.reference_pncc[0], 4)
    assert (shrunk - small.reference_pncc[0]).abs().mean() < 0.02


def test_a_changed_face_model_is_read_again(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "root"
    shutil.copytree(root, folder)
    clip = PreparedClip(folder, "anna/one")
    first = read_windows([Place(clip, 0, np.array([12]))], replace(WINDOW, references=1, face_references=0))
    other = miniature.face_model(seed=1)
    miniature.write_geometry(folder, CLIPS, other)
    os.utime(folder / "face_mesh.npz", (1, 1))
    second = read_windows([Place(clip, 0, np.array([12]))], replace(WINDOW, references=1, face_references=0))
    assert (first.face, second.face) == (miniature.face_model().hash(), other.hash())
    assert first.pncc is not None
    assert second.pncc is not None
    assert not torch.equal(first.pncc, second.pncc)


def test_clips_without_geometry(root: Path, tmp_path: Path, model: LinearFaceModel) -> None:
    folder = miniature.make(tmp_path / "root", CLIPS)
    with pytest.raises(DubbenchError, match=r"has no mesh geometry; run dubbench prepare .* --geometry mesh"):
        WindowDataset(folder, WINDOW, "train", length=4)
    miniature.write_geometry(folder, CLIPS[3:], model)
    with pytest.raises(DubbenchError, match=r"none of the 3 clips .* --geometry mesh"):
        WindowDataset(folder, WINDOW, "train", length=4)
    with pytest.raises(DubbenchError, match="--geometry"):
        read_windows([Place(PreparedClip(folder, "anna/one"), 0, np.arange(5))], WINDOW)
    miniature.write_geometry(folder, CLIPS[1:], model)
    with pytest.warns(UserWarning, match="1 of 3 clips have no mesh geometry and are left out: anna/one"):
        assert WindowDataset(folder, WINDOW, "train", length=4).clips == ["anna/two", "bert/one"]
    with pytest.raises(DubbenchError, match="has no ict geometry"):
        WindowDataset(root, replace(WINDOW, geometry="ict"), "train", length=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"geometry": "flame"}, "no geometry 'flame'; take mesh, ict or bfm"),
        ({"geometry": ""}, "drawn from geometry; name one"),
        ({"pictures": 10}, "10 pictures of 9 frames"),
        ({"reference_pictures": 6}, "6 pictures of 5 references"),
        ({"reference_pictures": -1}, "-1 pictures of 5 references"),
        ({"reference_rule": "history", "references": 0, "face_references": 0}, "history begins with .* first frame"),
        ({"reference_rule": "history"}, "face references belong to the rule adjacent, not history"),
        ({"face_references": 6}, "6 of 5 references within 3 frames"),
        ({"style_frames": -1}, "-1 style frames with geometry 'mesh' cannot be read"),
        ({"style_frames": 3, "geometry": "", "pncc": False, "lips": False}, "3 style frames with geometry ''"),
        ({"reach": -1}, "2 of 5 references within -1 frames"),
        ({"reference_rule": "random"}, "face references belong to the rule adjacent, not random"),
    ],
)
def test_windows_that_do_not_go_together(options: dict[str, object], message: str) -> None:
    with pytest.raises(DubbenchError, match=message):
        replace(WINDOW, **options)  # type: ignore[arg-type]  # of many types


class Still(DubbingModel):
    """A method without weights."""

    def __init__(self, window: Window) -> None:
        super().__init__()
        self.window = window


def test_a_checkpoint_from_before_these_fields_still_loads() -> None:
    plain = Window(frames=5, references=3, size=SIZE)
    old = {name: asdict(plain)[name] for name in ("frames", "references", "size", "reference_rule", "mel")}
    checkpoint = {"dubbench": {"class_path": class_path(Still), "window": old}, "state_dict": {}}
    Still(plain).load_checkpoint(checkpoint, Path("old.ckpt"))
    changes: list[dict[str, Any]] = [{"frames": 6}, {"geometry": "mesh"}, {"pictures": 5}, {"reference_pictures": 1}]
    for other in (replace(plain, **change) for change in changes):
        with pytest.raises(DubbenchError, match=r"old.ckpt was trained on other windows"):
            Still(other).load_checkpoint(checkpoint, Path("old.ckpt"))
        newer = {"dubbench": {"class_path": class_path(Still), "window": asdict(other)}, "state_dict": {}}
        Still(other).load_checkpoint(newer, Path("old.ckpt"))
    styled = Still(replace(plain, geometry="mesh", style_frames=9))
    with pytest.raises(DubbenchError, match=r"an earlier version's without geometry, style_frames; train again"):
        styled.load_checkpoint(checkpoint, Path("old.ckpt"))
