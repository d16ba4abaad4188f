"""Figures by their content: weights that are the layer's own, marks where they belong, colours of the right frames."""

import csv
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from torch.nn import functional as F

from dubbench.cli import main
from dubbench.core.config_names import CONFIGS
from dubbench.datamodules.clip import PreparedClip
from dubbench.errors import DubbenchError
from dubbench.evaluation.candidates import CopyReference
from dubbench.evaluation.evaluate import evaluate
from dubbench.evaluation.speaking_style import StyleExpert
from dubbench.figures import attention, plotting, robustness, shown, strip, styles
from dubbench.metrics.suite import Suite
from dubbench.models.base import AttentionMaps, DubbingModel
from dubbench.models.load import load_model
from dubbench.protocols.protocol import load
from tests import filmed, talking
from tests.datamodules import miniature
from tests.datamodules.miniature import Clip
from tests.models import speaking_faces, talkers
from tests.models.conftest import small_radio
from tests.models.personatalk.test_module import small as small_personatalk
from tests.models.style_encoder.test_module import encoder, face

Picture = NDArray[np.uint8]


def saved(model: DubbingModel, path: Path) -> Path:
    """A model as training would save it."""
    content: dict[str, Any] = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}
    model.on_save_checkpoint(content)
    torch.save(content, path)
    return path


def picture(path: Path) -> Picture:
    return np.asarray(cv2.imread(str(path))[..., ::-1], np.uint8)


def blobs(where: NDArray[np.bool_]) -> list[tuple[float, float, int, int]]:
    """Centre x, y, width and height of connected regions, left to right within a row of them."""
    _, _, boxes, _ = cv2.connectedComponentsWithStats(where.astype(np.uint8), connectivity=8)
    found = [(x + w / 2, y + h / 2, int(w), int(h)) for x, y, w, h, area in boxes[1:].tolist() if area > 20]
    return sorted(found, key=lambda box: (round(box[1] / 40), box[0]))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared clip of moving noise."""
    root = miniature.make(tmp_path_factory.mktemp("small") / "root", [Clip("ann/a", 24)])
    draw = np.random.default_rng(0)
    from dubbench.media.video import VideoWriter

    with VideoWriter(root / "ann/a" / "video.mp4", 64, 64, intra=True) as video:
        for _ in range(24):
            noise = draw.integers(0, 255, (8, 8, 3)).astype(np.uint8)
            video.write(np.asarray(cv2.resize(noise, (64, 64)), np.uint8))
    return root


def test_the_dubbed_frame_and_all_its_layers_are_looked_at(small: Path) -> None:
    model = small_radio(vit_blocks=2, vit_layers=2).eval()
    clip = PreparedClip(small, "ann/a")
    found = model.attention_maps(clip, frame=19, reference=7)
    dubbed = list(model.dub(clip, clip.speech(), [7]))[19]
    assert np.abs(found.generated.astype(int) - dubbed).max() <= 1
    np.testing.assert_array_equal(found.reference, clip.frames([7], 32)[0])
    assert set(found.maps) == {(3, 1), (3, 2), (4, 1), (4, 2)}
    assert {key[0]: maps.shape for key, maps in found.maps.items()} == {3: (8, 16, 8, 16), 4: (16, 32, 16, 32)}
    for maps in found.maps.values():
        np.testing.assert_allclose(maps.sum((2, 3)), 1, rtol=1e-5)


def test_a_map_follows_the_query_that_looks_at_it(small: Path) -> None:
    """With keys and queries made equal but for their place, each patch looks at its own."""
    model = small_radio(vit_blocks=1, vit_heads=1).eval()
    vit = cast(Any, model.ema.module).decoder[-1].fidelity
    with torch.no_grad():
        for embed in (vit.embed_query, vit.embed_source):
            embed.weight.zero_()
            embed.bias.zero_()
        places = torch.randn(vit.query_positions.shape) * 3
        vit.query_positions.copy_(places)
        vit.source_positions.copy_(places)
        layer = vit.layers[0]
        layer.query.weight.copy_(torch.eye(16) * 8)
        layer.source.weight[:16].copy_(torch.eye(16))
        for bias in (layer.query.bias, layer.source.bias):
            bias.zero_()
    found = model.attention_maps(PreparedClip(small, "ann/a"), 3, 0).maps[4, 1]
    peaks = found.reshape(16 * 32, -1).argmax(1)
    assert (peaks == np.arange(16 * 32)).mean() > 0.99


def test_a_method_without_attention_is_told(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = saved(small_radio(variant="B"), tmp_path / "b.ckpt")
    command = ["figure", "attention", "--ckpt_path", str(checkpoint), "--root", str(small), "--clip", "ann/a"]
    assert main([*command, "--out", str(tmp_path / "a.png")]) == 1
    assert "(variant B) has no attention" in capsys.readouterr().err
    command[3] = str(saved(speaking_faces.small(), tmp_path / "g4g.ckpt"))
    assert main([*command, "--out", str(tmp_path / "a.png")]) == 1
    assert "G4G has no attention maps; RADIO of variant D has" in capsys.readouterr().err
    checkpoint = saved(small_radio(), tmp_path / "d.ckpt")
    command[3] = str(checkpoint)
    assert main([*command, "--out", str(tmp_path / "a.png"), "--layers", "6,2"]) == 1
    assert "--layers 6,2 is not in this model; it has 4,1" in capsys.readouterr().err
    assert main([*command, "--out", str(tmp_path / "a.png"), "--frame", "24"]) == 1
    assert "--frame 24 is not in the clip; it has frames 0 to 23" in capsys.readouterr().err
    assert main([*command, "--out", str(tmp_path / "a.jpg")]) == 1
    assert "a.jpg does not end in .png" in capsys.readouterr().err
    assert main([*command, "--out", str(tmp_path / "a.png")]) == 0
    assert len(blobs((picture(tmp_path / "a.png") == (0, 255, 0)).all(-1))) == 5


def test_green_marks_stand_at_the_patches_and_light_where_they_look(tmp_path: Path) -> None:
    maps = np.zeros((16, 32, 16, 32), np.float32)
    maps[2, 5, 12, 28] = maps[15, 31, 0, 3] = 1
    red = np.full((64, 64, 3), (200, 0, 0), np.uint8)
    found = AttentionMaps(red, np.full((64, 64, 3), 30, np.uint8), {(6, 2): maps})
    attention.draw(found, {(6, 2): {"one": (2, 5), "other": (15, 31)}}, tmp_path / "a.png")
    image = picture(tmp_path / "a.png").astype(int)
    reds = (np.abs(image - (200, 0, 0)) < 20).all(-1)
    greens = (image[..., 1] > 150) & (image[..., 0] < 150) & (image[..., 2] < 120)
    frames = [box for box in blobs(cv2.morphologyEx(reds.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((25, 25))) > 0)]
    marks = blobs(greens)
    assert len(frames) == 3
    assert len(marks) == 2
    for cell, mark, (row, column) in zip(frames[1:], marks, ((2, 5), (15, 31)), strict=True):
        x = (mark[0] - cell[0]) / frames[0][2] + 0.5
        y = (mark[1] - cell[1]) / frames[0][3] + 0.5
        assert (x, y) == pytest.approx(((column + 0.5) / 32, 0.5 + (row + 0.5) / 32), abs=0.02)


def test_the_overlay_is_brightest_at_the_peak_and_leaves_the_upper_half_grey() -> None:
    looked = np.zeros((16, 32), np.float32)
    looked[12, 28] = 0.9
    light = attention.overlay(np.full((64, 64, 3), (90, 20, 160), np.uint8), looked).astype(int)
    assert np.ptp(light[:32], axis=-1).max() == 0
    row, column = np.unravel_index(light.sum(-1)[32:].argmax(), (32, 64))
    assert (row // 2, column // 2) == (12, 28)


@pytest.fixture(scope="module")
def psnr_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rules = yaml.safe_load((CONFIGS / "protocol" / "first_frame.yaml").read_text()) | {"metrics": {"psnr": 2, "lmd": 1}}
    path = tmp_path_factory.mktemp("protocol") / "quick.yaml"
    path.write_text(yaml.safe_dump(rules, sort_keys=False))
    return path


def test_robustness_scores_each_reference_as_eval_does(prepared: Path, psnr_only: Path, tmp_path: Path) -> None:
    clip = PreparedClip(prepared, "ann/two")
    rules = load(psnr_only)
    found = robustness.compare(CopyReference(128), clip, [0, 6], [1, 6], rules=rules, suite=Suite(rules.metrics))
    out = evaluate(prepared, {}, out=tmp_path / "eval", protocol=psnr_only, clips=["ann/two"])
    with (out / "clips.csv").open() as file:
        theirs = {row["metric"]: row["value"] for row in csv.DictReader(file) if row["method"] == "copy_reference"}
    robustness.write(tmp_path / "r.csv", found)
    with (tmp_path / "r.csv").open() as file:
        ours = {(row["metric"], row["reference"]): row["value"] for row in csv.DictReader(file)}
    assert (ours["psnr", "0"], ours["lmd", "0"]) == (theirs["psnr"], theirs["lmd"])
    one, other = float(ours["psnr", "0"]), float(ours["psnr", "6"])
    assert one != other
    assert float(ours["psnr", "mean"]) == pytest.approx((one + other) / 2, abs=1e-4)
    assert float(ours["psnr", "std"]) == pytest.approx(abs(one - other) / 2**0.5, abs=1e-4)
    assert (float(ours["psnr", "min"]), float(ours["psnr", "max"])) == (min(one, other), max(one, other))
    # The sixth frame's lower half is its own with itself as reference, and another with the first.
    errors = [np.abs(dubbed[1].astype(int) - found.truth[1])[140:240, 30:220].mean() for dubbed in found.dubbed]
    assert errors[1] < 0.7 * errors[0]
    aligned = clip.frames([6], 256)[0].astype(int)
    assert np.abs(aligned - found.truth[1])[30:220, 30:220].mean() < 6


def test_robustness_on_the_command_line(
    prepared: Path, psnr_only: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = saved(small_radio(), tmp_path / "d.ckpt")
    command = ["figure", "robustness", "--ckpt_path", str(checkpoint), "--root", str(prepared), "--clip", "ann/two"]
    command += ["--protocol", str(psnr_only), "--out", str(tmp_path / "r.png"), "--frames", "2,4"]
    assert main([*command, "--references", "0,3,0"]) == 1
    assert "names a frame twice" in capsys.readouterr().err
    assert main([*command, "--references", "0,x"]) == 1
    assert "is no list of frame numbers" in capsys.readouterr().err
    assert main([*command, "--references", "5", "--csv", str(tmp_path / "r.csv")]) == 0
    assert "ref 5" in capsys.readouterr().out
    assert (tmp_path / "r.csv").read_text().startswith("metric,reference,value\npsnr,5,")
    image = picture(tmp_path / "r.png")
    assert len(cells(image)) == 5  # two frames of the truth; the reference and two frames


def test_results_are_shown_ends_first_and_named_apart(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    filmed.film(theirs / "s1__a.mp4", (9, 9, 9))
    one = filmed.results(tmp_path / "one", ["dinet", "copy_reference", "ground_truth"], ["s1/a"], {"other": theirs})
    two = filmed.results(tmp_path / "two", ["dinet", "ground_truth"], ["s1/a"])
    rows = shown.shown([one, two], roots=[theirs])
    labels = [row.label for row in rows]
    assert labels == ["ground_truth", "copy_reference", "one/dinet", "other", "two/dinet"]
    assert rows[3].videos == {"s1/a": theirs / "s1__a.mp4"}
    assert rows[0].results == one
    assert [row.label for row in shown.shown([one, two], ["dinet"])] == ["one/dinet", "two/dinet"]
    with pytest.raises(DubbenchError, match="no method is called 'x'"):
        shown.shown([one], ["x"])
    with pytest.raises(DubbenchError, match="holds no results"):
        shown.shown([theirs])


def cells(image: Picture) -> list[tuple[float, float, int, int]]:
    """Where the pictures of a figure are: large regions that are not white."""
    return blobs(cv2.morphologyEx((image.min(-1) < 250).astype(np.uint8), cv2.MORPH_OPEN, np.ones((25, 25))) > 0)


def colours_at(image: Picture, rows: int, columns: int) -> NDArray[np.int64]:
    """Mean colour of the cells of a strip, [rows, columns, 3]: whatever is not white, left of it a label."""
    found = cells(image)
    assert len(found) == rows * columns
    means = [
        image[int(y - h / 4) : int(y + h / 4), int(x - w / 4) : int(x + w / 4)].mean((0, 1)) for x, y, w, h in found
    ]
    return np.rint(means).astype(np.int64).reshape(rows, columns, 3)


def test_a_strip_shows_the_frames_of_each_method(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = filmed.results(tmp_path / "r", ["dinet", "ground_truth", "wav2lip"], ["s1/a"])
    command = ["figure", "strip", str(folder), "--clip", "s1/a", "--out", str(tmp_path / "s.png")]
    assert main([*command, "--frames", "0,9,3", "--box", "32", "0", "32", "48"]) == 0
    found = colours_at(picture(tmp_path / "s.png"), 3, 3)
    for r, method in enumerate(("ground_truth", "dinet", "wav2lip")):
        for c, frame in enumerate((0, 9, 3)):
            assert np.abs(found[r, c] - np.array(filmed.COLOURS[method]) - 5 * frame).max() <= 4
    assert main([*command, "--count", "2", "--methods", "wav2lip", "--box", "0", "0", "32", "48"]) == 0
    only = colours_at(picture(tmp_path / "s.png"), 1, 2)
    assert np.abs(only - np.array(filmed.COLOURS["wav2lip"])).max() <= 4
    capsys.readouterr()
    for options, words in (
        (["--frames", "3,10"], "--frames 10 is not in the clip; it has frames 0 to 9"),
        (["--count", "11"], "11 frames cannot be shown of a clip of 10"),
        (["--box", "40", "0", "32", "48"], "reaches beyond the frames of 64 x 48 pixels"),
        (["--zoom", "mouth"], "no face was found to zoom in on"),
    ):
        assert main([*command, *options]) == 1
        assert words in capsys.readouterr().err
    assert main([*command[:3], "--clip", "s1/b", *command[5:]]) == 1
    assert "no video of s1/b is in these results" in capsys.readouterr().err


def test_frames_are_spread_evenly() -> None:
    assert strip.evenly(75, 5) == [7, 22, 37, 52, 67]
    assert strip.evenly(4, 4) == [0, 1, 2, 3]


def test_zoom_holds_the_mouth_of_all_frames(prepared: Path) -> None:
    pictures = [frame for k, frame in enumerate(talking.frames("ann/two")) if k in (0, 5, 9)]
    points = PreparedClip(prepared, "ann/two").points([0, 5, 9])
    boxes = {}
    for part, chosen in (("mouth", points[:, 48:]), ("face", points)):
        left, top, right, bottom = boxes[part] = strip.zoomed(pictures, part)
        assert ((chosen > (left, top)) & (chosen < (right, bottom))).all()
        assert 0 <= left < right <= talking.WIDTH
        assert 0 <= top < bottom <= talking.HEIGHT
    mouth, whole = boxes["mouth"], boxes["face"]
    assert (mouth[2] - mouth[0]) * (mouth[3] - mouth[1]) < 0.3 * (whole[2] - whole[0]) * (whole[3] - whole[1])


def test_styles_of_one_speaker_lie_together() -> None:
    centres = torch.eye(3, 32)
    points = [
        styles.Point(F.normalize(centre + 0.1 * torch.randn(32), dim=0), name, kind)
        for name, centre in zip("abc", centres, strict=True)
        for kind in styles.HALVES
        for _ in range(4)
    ]
    places = styles.plane(points)
    distances = np.linalg.norm(places[:, None] - places, axis=-1) + np.eye(len(places)) * 1e9
    assert all(points[k].speaker == points[n].speaker for k, n in enumerate(distances.argmin(1)))
    with pytest.raises(DubbenchError, match="too few for t-SNE"):
        styles.plane(points[:3])


def test_styles_of_prepared_clips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = [Clip("ann/a", 30), Clip("bob/b", 30)]
    root = miniature.make(tmp_path / "root", clips)
    checkpoint = saved(encoder(frames=8), tmp_path / "s.ckpt")
    command = ["figure", "styles", "--style_encoder", str(checkpoint), "--root", str(root)]
    command += ["--out", str(tmp_path / "s.png")]
    assert main([*command, "--quiet"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    from dubbench.core.arrays import write_arrays
    from dubbench.datamodules.geometry import geometry_name

    for clip in clips:
        arrays = miniature.coefficients(clip)
        arrays["expression"] = np.random.default_rng(1).normal(size=(30, 6)).astype(np.float32)
        write_arrays(root / clip.clip / geometry_name(face().hash()), arrays)
    points = list(styles.prepared_styles(styles.JudgedStyles(StyleExpert(checkpoint), hop=3), root))
    assert [point.speaker for point in points] == ["ann"] * 6 + ["bob"] * 6
    assert [point.kind for point in points[:6]] == [styles.HALVES[0]] * 3 + [styles.HALVES[1]] * 3
    assert main(command) == 0
    first = (tmp_path / "s.png").read_bytes()
    assert main(command) == 0
    assert (tmp_path / "s.png").read_bytes() == first
    assert picture(tmp_path / "s.png").shape[:2] == (round(5.6 * plotting.DPI), 7 * plotting.DPI)
    assert main([*command, "--hop", "0"]) == 1
    assert "--hop is 0" in capsys.readouterr().err


def test_a_methods_own_styles_stand_beside_the_judges(
    tmp_path: Path, prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = [Clip("ann/a", 30), Clip("bob/b", 30), Clip("cat/c", 30, "val")]
    root = talkers.make(tmp_path / "root", clips)
    model = small_personatalk()
    talkers.fitted(root, tmp_path, model).save_checkpoint(tmp_path / "own.ckpt")
    own = styles.OwnStyles(load_model(tmp_path / "own.ckpt"))
    points = list(styles.prepared_styles(own, root))
    assert [(point.speaker, point.kind) for point in points] == [
        (s, half) for s in ("ann", "bob", "cat") for half in styles.HALVES
    ]
    expression = torch.from_numpy(miniature.coefficients(clips[0])["expression"][15:])
    torch.testing.assert_close(points[1].style, own.model.own_style(expression[None])[0])
    command = ["figure", "styles", "--root", str(root), "--out", str(tmp_path / "s.png")]
    assert main([*command, "--ckpt_path", str(tmp_path / "own.ckpt")]) == 0
    assert picture(tmp_path / "s.png").shape[:2] == (round(5.6 * plotting.DPI), 7 * plotting.DPI)
    videos = list(styles.filmed(prepared, [filmed.results(tmp_path / "r", ["copy_reference"], ["ann/two"])]))
    assert [point.kind for point in styles.filmed_styles(own, videos)][:1] == ["ground_truth"]
    assert main(command) == 1
    assert "nothing says whose styles are drawn; give --ckpt_path, --style_encoder or both" in capsys.readouterr().err
    radio = saved(small_radio(), tmp_path / "radio.ckpt")
    assert main([*command, "--ckpt_path", str(radio)]) == 1
    assert "Radio has no style embedding of its own; PersonaTalk has" in capsys.readouterr().err


def test_generated_videos_stand_beside_their_clips(prepared: Path, tmp_path: Path) -> None:
    folder = filmed.results(tmp_path / "r", ["ground_truth", "dinet"], ["ann/two"])
    from dubbench.media.video import VideoWriter

    with VideoWriter(folder / "videos/dinet/ann/two.mp4", talking.WIDTH, talking.HEIGHT) as video:
        for frame in talking.frames("ann/two"):
            video.write(frame)
    expert = StyleExpert(saved(encoder(frames=6), tmp_path / "s.ckpt"))
    videos = list(styles.filmed(prepared, [folder]))
    points = list(styles.filmed_styles(styles.JudgedStyles(expert, hop=2), videos))
    assert [point.kind for point in points] == ["ground_truth"] * 3 + ["dinet"] * 3
    assert {point.speaker for point in points} == {"ann"}
    for one, other in zip(points[:3], points[3:], strict=True):
        assert float(one.style @ other.style) > 0.9
    landmarks = torch.from_numpy(PreparedClip(prepared, "ann/two").aligned_points(None, 256))
    for k, point in enumerate(points[:3]):
        torch.testing.assert_close(point.style, F.normalize(expert.style(landmarks[2 * k : 2 * k + 6]).float(), dim=0))


def test_absent_libraries_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn.manifold", None)
    with pytest.raises(
        DubbenchError, match="figures need scikit-learn, which is not installed: pip install scikit-learn"
    ):
        plotting.library("sklearn.manifold")
