import json
import pickle
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import av
import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, save
from torch import Tensor, nn

from dubbench.errors import DubbenchError
from dubbench.media.video import read_frames
from dubbench.metrics import CSIM, ArcFace, csim, face_crop, five_points
from dubbench.metrics.csim import cosine

Image = NDArray[np.uint8]
CLIPS = {"bbaf2n": "s1/bbaf2n.mpg", "lwbsza": "u_lwbsza/lwbsza.mpg"}
NORMALISATIONS: list[tuple[str, Literal["imagenet", "arcface"]]] = [("imagenet", "imagenet"), ("half", "arcface")]
TEMPLATE = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)


def golden(shared: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((shared / "goldens/csim.json").read_text())
    return values


def mobile_face_net(shared: Path, normalisation: Literal["imagenet", "arcface"]) -> ArcFace:
    return ArcFace(shared / "assets/MobileFaceNet.onnx", normalisation)


def batch(crops: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2)))


def portrait(seed: int = 0, side: int = 240) -> Image:
    noise = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)


def frames(seed: int, count: int = 3) -> Tensor:
    return batch(np.stack([portrait(seed + k) for k in range(count)]))


def similarity(scale: float, angle: float, x: float, y: float) -> NDArray[np.float64]:
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[a, -b, x], [b, a, y]])


def put(points: NDArray[np.float64], transform: NDArray[np.float64]) -> NDArray[np.float64]:
    moved: NDArray[np.float64] = points @ transform[:, :2].T + transform[:, 2]
    return moved


def colours(crops: Tensor) -> Tensor:
    """A stand-in for an embedder: the mean colour of each quarter of the crop, centred."""
    return torch.nn.functional.adaptive_avg_pool2d(crops.double() - 128, 2).flatten(1)


@pytest.mark.parametrize(("key", "normalisation"), NORMALISATIONS)
@pytest.mark.parametrize("clip", CLIPS)
def test_saved_crops_give_the_golden_values(
    clip: str, key: str, normalisation: Literal["imagenet", "arcface"], shared: Path
) -> None:
    wanted = golden(shared)["clips"][clip]["csim"][key]
    crops = batch(np.load(shared / "goldens/csim_crops.npz")[f"crops_rgb_{clip}"])
    embeddings = mobile_face_net(shared, normalisation)(crops)
    assert embeddings.shape == (8, 128)
    assert embeddings[0, :8].tolist() == pytest.approx(wanted["embedding0_raw_first8"], abs=1e-4)
    assert float(embeddings[0].norm()) == pytest.approx(wanted["embedding0_raw_norm"], rel=1e-5)
    values = cosine(embeddings[:1].expand(7, -1), embeddings[1:])
    assert values.tolist() == pytest.approx(wanted["frame0_vs_10_to_70"], abs=1e-5)


@pytest.mark.parametrize(("key", "normalisation"), NORMALISATIONS)
def test_other_people_are_far_apart(key: str, normalisation: Literal["imagenet", "arcface"], shared: Path) -> None:
    crops = np.load(shared / "goldens/csim_crops.npz")
    embedder = mobile_face_net(shared, normalisation)
    for pair in golden(shared)["cross_identity"]:
        left, right = (embedder(batch(crops[f"crops_rgb_{pair[side]}"][:1])) for side in "ab")
        assert float(cosine(left, right)) == pytest.approx(pair[key], abs=1e-5)


@pytest.mark.parametrize("clip", CLIPS)
def test_crops_cut_from_the_clip_give_the_golden_values(clip: str, shared: Path) -> None:
    wanted = golden(shared)["clips"][clip]
    with av.open(str(shared / "data/grid" / CLIPS[clip])) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    crops = []
    for frame in wanted["per_frame"]:
        points = torch.tensor(frame["landmarks_68"], dtype=torch.float64)[None]
        five = five_points(points)[0].numpy()
        np.testing.assert_allclose(five, frame["five"], atol=1e-4)
        crops.append(face_crop(decoded[frame["frame"]], five))
    saved = np.load(shared / "goldens/csim_crops.npz")[f"crops_rgb_{clip}"]
    assert np.abs(np.stack(crops).astype(float) - saved).mean() < 0.01
    embeddings = mobile_face_net(shared, "imagenet")(batch(np.stack(crops)))
    values = cosine(embeddings[:1].expand(7, -1), embeddings[1:])
    assert values.tolist() == pytest.approx(wanted["csim"]["imagenet"]["frame0_vs_10_to_70"], abs=5e-3)


def test_a_real_face_turned_keeps_its_identity(shared: Path) -> None:
    """Faces must be aligned, not merely resized: then a turned head is as similar as a straight one."""
    wanted = golden(shared)["clips"]["bbaf2n"]["per_frame"][0]
    image = next(read_frames(shared / "data/grid" / CLIPS["bbaf2n"]))
    turn = similarity(1.0, 0.5, 110.0, -40.0)
    turned = cv2.warpAffine(image, turn, image.shape[1::-1], flags=cv2.INTER_CUBIC)
    five = np.array(wanted["five"])
    embedder = mobile_face_net(shared, "imagenet")
    straight = embedder(batch(face_crop(image, five)[None]))
    aligned = embedder(batch(face_crop(np.asarray(turned, np.uint8), put(five, turn))[None]))
    resized = embedder(batch(np.asarray(cv2.resize(turned, (112, 112)), np.uint8)[None]))
    assert float(cosine(straight, aligned)) > 0.97
    assert float(cosine(straight, resized)) < 0.5


def test_five_points_are_eyes_nose_and_mouth() -> None:
    points = torch.rand(4, 68, 2, generator=torch.Generator().manual_seed(0)) * 200
    five = five_points(points).numpy()
    array = points.double().numpy()
    assert five.dtype == np.float64
    for k in range(4):
        left, right = array[k, [36, 37, 38, 39, 40, 41]].mean(0), array[k, [42, 43, 44, 45, 46, 47]].mean(0)
        np.testing.assert_allclose(five[k], [left, right, array[k, 30], array[k, 48], array[k, 54]], atol=1e-12)
    with pytest.raises(DubbenchError, match="68"):
        five_points(points[:, :60])


@pytest.mark.parametrize(("scale", "angle"), [(1.0, 0.0), (2.3, 0.4), (1.4, -2.0)])
def test_the_template_lands_where_arcface_expects_it(scale: float, angle: float) -> None:
    place = similarity(scale, angle, 260, 240)
    five = put(TEMPLATE, place)
    for point, wanted in zip(five, TEMPLATE, strict=True):
        y, x = np.mgrid[0:520, 0:560]
        blob = 255 * np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / (2 * (3.0 * scale) ** 2))
        crop = face_crop(blob.round().astype(np.uint8)[..., None].repeat(3, -1), five)[..., 0].astype(float)
        rows, columns = np.mgrid[0:112, 0:112]
        centre = [(crop * axis).sum() / crop.sum() for axis in (columns, rows)]
        np.testing.assert_allclose(centre, wanted, atol=0.15)


def test_a_crop_turns_and_grows_with_the_face() -> None:
    image, five = portrait(side=320), TEMPLATE * 1.5 + 70
    move = similarity(1.3, 0.6, 150, -60)
    moved = np.asarray(cv2.warpAffine(image, move, (420, 420), flags=cv2.INTER_CUBIC), np.uint8)
    crop, again = (face_crop(*pair).astype(float) for pair in ((image, five), (moved, put(five, move))))
    assert np.abs(crop - again).mean() < 1.0
    assert np.abs(crop - face_crop(moved, five)).mean() > 20


def test_beyond_the_image_is_black() -> None:
    crop = face_crop(np.full((60, 60, 3), 200, np.uint8), TEMPLATE)
    assert (crop[:59, :59] == 200).all()
    assert not crop[61:].any()
    assert not crop[:, 61:].any()


@pytest.mark.parametrize(
    "five", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.where(TEMPLATE > 92.3, np.inf, TEMPLATE), np.zeros((4, 2))]
)
def test_no_crop_without_a_face(five: NDArray[np.float64]) -> None:
    with pytest.raises(DubbenchError, match="points"):
        face_crop(portrait(), five)


@pytest.mark.parametrize(
    "image", [np.zeros((40, 40, 3)), np.zeros((40, 40), np.uint8), np.zeros((3, 40, 40), np.uint8)]
)
def test_no_crop_of_what_is_no_image(image: NDArray[Any]) -> None:
    with pytest.raises(DubbenchError, match="uint8 RGB"):
        face_crop(image, TEMPLATE)


def test_csim_is_the_cosine_of_both_frames_cut_by_the_target_s_points() -> None:
    pred, target = frames(0), frames(50)
    places = [similarity(1.1, 0.1 * k, 60 - 9 * k, 50 + 4 * k) for k in range(3)]
    fives = np.stack([put(TEMPLATE, place) for place in places])
    values = csim(colours, pred, target, torch.from_numpy(fives))
    assert values.dtype == torch.float64
    for k in range(3):
        sides = [face_crop(np.ascontiguousarray(images[k].permute(1, 2, 0)), fives[k]) for images in (pred, target)]
        left, right = (colours(batch(side[None]))[0].numpy() for side in sides)
        wanted = left @ right / np.sqrt(left @ left) / np.sqrt(right @ right)
        assert float(values[k]) == pytest.approx(wanted, abs=1e-12)
    assert values.abs().max() < 0.99
    points = torch.zeros(3, 68, 2, dtype=torch.float64)
    rows = torch.from_numpy(fives)
    points[:, 36:42], points[:, 42:48] = rows[:, :1], rows[:, 1:2]
    points[:, 30], points[:, 48], points[:, 54] = rows[:, 2], rows[:, 3], rows[:, 4]
    torch.testing.assert_close(csim(colours, pred, target, points), values, rtol=0, atol=1e-12)


def test_csim_of_equal_frames_and_of_floating_ones() -> None:
    pred, target, five = frames(0), frames(9), torch.from_numpy(TEMPLATE + 60).expand(3, 5, 2)
    assert csim(colours, target, target, five).tolist() == pytest.approx([1.0] * 3, abs=1e-12)
    exact = csim(colours, pred, target, five)
    torch.testing.assert_close(csim(colours, pred / 255, target.double() / 255, five), exact, rtol=0, atol=0)
    between = (pred.double() - 0.4).clamp(min=0) / 255
    torch.testing.assert_close(csim(colours, between, target, five), exact, rtol=0, atol=0)
    swapped = csim(colours, pred.flip(1), target, five)
    assert (swapped - exact).abs().min() > 1e-3


def test_csim_refuses_what_it_cannot_mean() -> None:
    pred, five = frames(0), torch.from_numpy(TEMPLATE).expand(3, 5, 2)
    with pytest.raises(DubbenchError, match=r"\[0, 1\]"):
        csim(colours, pred / 127.5 - 1, pred, five)
    with pytest.raises(DubbenchError, match="differ in shape"):
        csim(colours, pred[..., 1:], pred, five)
    for points in (five[:2], five[:, :4], five[0], torch.zeros(3, 67, 2), torch.zeros(2, 68, 2)):
        with pytest.raises(DubbenchError, match="points have shape"):
            csim(colours, pred, pred, points)
    with pytest.raises(DubbenchError, match="one row a crop"):
        csim(lambda crops: colours(crops)[:1], pred, pred, five)


def test_a_network_with_dropout_is_run_as_at_inference_and_left_as_it_was() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 16))
            self.first, self.second = nn.Dropout(0.5), nn.Dropout(0.5)

        def forward(self, crops: Tensor) -> Tensor:
            embeddings: Tensor = self.second(self.first(self.embed(crops.float() - 128)))
            assert not embeddings.requires_grad
            return embeddings

    torch.manual_seed(0)
    network = Noisy()
    metric = CSIM(network).train()
    network.second.eval()
    metric.update(frames(0), frames(0), torch.from_numpy(TEMPLATE).expand(3, 5, 2))
    assert float(metric.compute()) == pytest.approx(1.0, abs=1e-6)
    assert (network.training, network.first.training, network.second.training) == (True, True, False)


def test_class_means_over_frames() -> None:
    pred, target, five = frames(0, 5), frames(20, 5), torch.from_numpy(TEMPLATE + 30).expand(5, 5, 2)
    metric = CSIM(colours)
    for start in (0, 3):
        rows = slice(start, start + 3)
        metric.update(pred[rows], target[rows], five[rows])
    torch.testing.assert_close(metric.compute(), csim(colours, pred, target, five).mean(), rtol=1e-12, atol=0)
    assert metric.higher_is_better


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write an ONNX file whose embedding of a crop is its mean colour after normalisation, times 1, 10 and 100."""

    def make(
        size: tuple[int | str, int, int | str, int | str] = ("N", 3, 112, 112),
        own: bool = False,
        outputs: int = 1,
        double: bool = False,
    ) -> Path:
        kind = TensorProto.DOUBLE if double else TensorProto.FLOAT
        number = np.float64 if double else np.float32
        constants = {
            "mean": np.array(127.5),
            "scale": np.array(1 / 127.5),
            "weights": np.diag([1.0, 10.0, 100.0])[: size[1]],
        }
        initial = [numpy_helper.from_array(value.astype(number), name) for name, value in constants.items()]
        nodes = [
            helper.make_node("ReduceMean", ["scaled" if own else "x"], ["flat"], name="Mean", axes=[2, 3], keepdims=0),
            helper.make_node("MatMul", ["flat", "weights"], ["y"], name="MatMul"),
        ]
        if own:
            nodes = [
                helper.make_node("Sub", ["x", "mean"], ["centred"], name="Sub_0"),
                helper.make_node("Mul", ["centred", "scale"], ["scaled"], name="Mul_1"),
                *nodes,
            ]
        results = [helper.make_tensor_value_info(name, kind, [size[0], 3]) for name in ("y", "flat")[:outputs]]
        image = helper.make_tensor_value_info("x", kind, size)
        graph = helper.make_graph(nodes, "embedder", [image], results, initial)
        path = tmp_path / f"own {len(list(tmp_path.iterdir()))}.onnx"
        save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
        return path

    return make


def flat_crops(count: int) -> tuple[Tensor, Tensor]:
    """Crops of one colour each, and the colours."""
    tones = torch.randint(0, 256, (count, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return tones[..., None, None].expand(count, 3, 112, 112).contiguous(), tones.double()


@pytest.mark.parametrize("size", [("N", 3, 112, 112), (1, 3, 112, 112), (4, 3, "h", "w")])
@pytest.mark.parametrize("count", [0, 1, 3, 40])
def test_arcface_normalises_and_takes_any_number_of_crops(
    size: tuple[int | str, int, int | str, int | str], count: int, write: Write
) -> None:
    crops, tones = flat_crops(count)
    embedder = ArcFace(write(size))
    assert embedder.normalisation == "arcface"
    wanted = (tones - 127.5) / 127.5 * torch.tensor([1.0, 10.0, 100.0])
    torch.testing.assert_close(embedder(crops).double(), wanted, rtol=1e-4, atol=1e-3)


def test_normalisation_by_name_and_by_insightface_s_rule(write: Write) -> None:
    crops, tones = flat_crops(5)
    weights = torch.tensor([1.0, 10.0, 100.0])
    own = ArcFace(write(own=True))
    assert own.normalisation == "none"
    torch.testing.assert_close(own(crops).double(), (tones - 127.5) / 127.5 * weights, rtol=1e-4, atol=1e-3)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    wanted = (tones / 255 - mean) / deviation * weights
    torch.testing.assert_close(ArcFace(write(), "imagenet")(crops).double(), wanted, rtol=1e-4, atol=1e-3)
    with pytest.raises(DubbenchError, match="normalisation 'half'"):
        ArcFace(write(), "half")  # type: ignore[arg-type]


def test_arcface_says_what_it_is_and_travels(write: Write) -> None:
    path = write()
    embedder = ArcFace(path, "imagenet")
    digest = sha256(path.read_bytes()).hexdigest()
    assert embedder.describe() == {"name": path.stem, "sha256": digest, "normalisation": "imagenet"}
    copy = pickle.loads(pickle.dumps(embedder))
    crops, _ = flat_crops(2)
    torch.testing.assert_close(copy(crops), embedder(crops), rtol=0, atol=0)
    assert copy.describe() == embedder.describe()


def test_arcface_refuses_other_networks_and_names_the_file(write: Write, tmp_path: Path) -> None:
    paths = [write(("N", 3, 128, 128)), write(("N", 1, 112, 112)), write(outputs=2), write(double=True)]
    for path in paths:
        with pytest.raises(DubbenchError, match=rf"{path.name}.*one float \[N, 3, 112, 112\]"):
            ArcFace(path)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(paths[0].read_bytes()[:200])
    with pytest.raises(DubbenchError, match=r"broken\.onnx cannot be read"):
        ArcFace(broken)
    with pytest.raises(DubbenchError, match=r"absent\.onnx is not there"):
        ArcFace(tmp_path / "absent.onnx")


@pytest.mark.parametrize("crops", [torch.zeros(2, 3, 112, 112), torch.zeros(2, 3, 96, 112, dtype=torch.uint8)])
def test_arcface_refuses_other_crops(crops: Tensor, write: Write) -> None:
    with pytest.raises(DubbenchError, match="takes uint8"):
        ArcFace(write())(crops)
