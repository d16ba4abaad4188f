"""D3DFR's network: its file, its input, and what its output means, each against another way to the same."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.io import savemat
from scipy.spatial.transform import Rotation
from torch import Tensor, nn
from torchvision.models import resnet50  # type: ignore[import-untyped]  # torchvision ships no types

from dubbench.errors import DubbenchError
from dubbench.face3d.d3dfr import ReconNet, crop_transforms, load_d3dfr, network_guess
from dubbench.face3d.energy import FitOptions
from dubbench.face3d.first_guess import Coefficients
from dubbench.face3d.fitting import clip_guess, fit
from dubbench.face3d.model import LinearFaceModel, project
from dubbench.face3d.sources import load_bfm
from tests.face3d.basel import constant_state, network_state, packed, write_network

# Eye centres, nose tip, mouth corners of the standard face, in decimetres and y up, and where 224 pixels show them.
STANDARD = np.array(
    [
        *([-0.3115, 0.2904, 0.1338], [0.3098, 0.2897, 0.1318], [0.0033, -0.0462, 0.5524]),
        *([-0.2522, -0.3813, 0.2241], [0.2485, -0.3813, 0.2224]),
    ]
)
SHOWN = 112 + 102 * STANDARD[:, :2] * [1, -1]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LinearFaceModel:
    path = tmp_path_factory.mktemp("basel") / "BFM_model_front.mat"
    savemat(path, packed())
    return load_bfm(path)


def posed(model: LinearFaceModel, frames: int, shape: Tensor, expression: Tensor) -> tuple[Tensor, Tensor]:
    """Poses and exact landmarks of a face that turns."""
    time = torch.arange(frames, dtype=torch.float64)[:, None] / 10
    turn = 0.2 * torch.sin(time + torch.tensor([0.0, 2.0, 4.0]))
    pose = torch.cat([turn, 128 + time, 120 - time, 4 + 0.1 * time], 1).float()
    return pose, project(model.vertices(shape, expression)[..., model.landmarks, :], pose)[..., :2]


def spread_68(five: NDArray[np.float64]) -> Tensor:
    """68 landmarks whose five points are these; the rest lies anywhere."""
    points = np.random.default_rng(3).uniform(0, 256, (68, 2))
    points[[30, 48, 54]] = five[2:]
    for (outer, inner), eye in zip(((36, 39), (45, 42)), five[:2], strict=True):
        points[outer], points[inner] = eye - np.array([9, 2]), eye + np.array([9, 2])
    return torch.from_numpy(points)[None]


def grey(*levels: int) -> list[NDArray[np.uint8]]:
    """Frames of one grey each."""
    return [np.full((64, 64, 3), level, np.uint8) for level in levels]


def test_the_network_of_the_file_equals_resnet_50_with_linear_heads(tmp_path: Path) -> None:
    state = network_state(seed=4)
    network = load_d3dfr(write_network(tmp_path / "epoch_20.pth", state))
    reference = resnet50(weights=None)
    own = {name.removeprefix("backbone."): value for name, value in state.items() if name.startswith("backbone.")}
    assert reference.load_state_dict(own, strict=False).missing_keys == ["fc.weight", "fc.bias"]
    trunk = nn.Sequential(*list(reference.children())[:-2]).double().eval()
    crops = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        pooled = trunk(crops.double()).mean((2, 3))
        network.train()  # part of a model that trains, it must not change
        found = network(crops)
    for number, made in enumerate(found):
        weight, bias = (state[f"final_layers.{number}.{kind}"].double() for kind in ("weight", "bias"))
        expected = pooled @ weight[:, :, 0, 0].T + bias
        assert made.shape == expected.shape == (2, (80, 64)[number])
        torch.testing.assert_close(made.double(), expected, atol=1e-4, rtol=1e-4)
        assert float((expected[0] - expected[1]).abs().max()) > 1e-3  # the pictures count
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_the_crop_shows_the_standard_face_where_training_did() -> None:
    scale, place = 85.0, np.array([131.0, 117.0])
    flat = place + scale * STANDARD[:, :2] * [1, -1]
    transform = crop_transforms(spread_68(flat))[0].numpy()
    np.testing.assert_allclose(SHOWN @ transform[:, :2].T + transform[:, 2], flat, atol=0.02)
    for turn in ([0.0, 0.4, 0.0], [-0.3, 0.2, 0.0]):
        turned = Rotation.from_rotvec(turn).apply(STANDARD)[:, :2] * [1, -1]
        transform = crop_transforms(spread_68(place + scale * turned))[0].numpy()
        np.testing.assert_allclose(transform[:, :2], np.eye(2) * scale / 102, atol=1e-4)
        np.testing.assert_allclose(transform @ [112, 112, 1], place, atol=0.02)


class Seen(ReconNet):
    """Keeps its input; gives the mean grey as every coefficient."""

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        self.crops = crops
        level = crops.mean((1, 2, 3))[:, None]
        return level.expand(-1, 80), level.expand(-1, 64)


@pytest.mark.parametrize("size", [256, 600])
def test_pixels_lie_where_the_points_do(model: LinearFaceModel, size: int) -> None:
    flat = np.array([129.0, 126.0]) + 90 * STANDARD[:, :2] * [1, -1]
    centres = np.arange(size) + 0.5
    x, y = np.meshgrid(centres, centres)
    frame = np.zeros((size, size, 3))
    sigma = 3 * size / 256
    for channel, (u, v) in enumerate(flat[[0, 2, 4]] * size / 256):
        frame[..., channel] = 255 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / 2 / sigma**2)
    network = Seen()
    network_guess(network, model, [frame.round().astype(np.uint8)], spread_68(flat).float(), torch.tensor([True]))
    spots = network.crops[0].double().numpy()
    assert spots.shape == (3, 224, 224)
    assert 0.9 < spots.max() <= 1
    inside = np.arange(224) + 0.5
    for spot, place in zip(spots, SHOWN[[0, 2, 4]], strict=True):
        centre = [(spot.sum(axis) * inside).sum() / spot.sum() for axis in (0, 1)]
        np.testing.assert_allclose(centre, place, atol=0.05)


def test_coefficients_give_the_face_that_the_packing_means(tmp_path: Path) -> None:
    held = packed()
    savemat(tmp_path / "BFM_model_front.mat", held)
    model = load_bfm(tmp_path)
    shape, expression = torch.randn(80), torch.randn(64)
    network = load_d3dfr(write_network(tmp_path / "epoch_20.pth", constant_state(shape, expression)))
    flat = held["meanshape"][0] + held["idBase"] @ shape.double().numpy() + held["exBase"] @ expression.double().numpy()
    mean = held["meanshape"].reshape(-1, 3)
    expected = (flat.reshape(-1, 3) - mean[:68].mean(0)) * [1, -1, -1]  # its outer eyes are 1 apart
    pose, points = posed(model, 2, shape, expression)
    guess = network_guess(network, model, grey(40, 90), points, torch.ones(2, dtype=torch.bool))
    np.testing.assert_allclose(
        model.vertices(guess.shape, guess.expression).numpy(), np.stack([expected] * 2), atol=2e-5
    )
    torch.testing.assert_close(guess.pose, pose, atol=2e-3, rtol=0)


def test_one_shape_a_clip_and_frames_without_a_face_between_their_neighbours(model: LinearFaceModel) -> None:
    frames = 40  # more than the network takes at once
    detected = torch.ones(frames, dtype=torch.bool)
    detected[[0, 1, 19, 20]] = False
    levels = list(range(50, 50 + 4 * frames, 4))
    levels[19] = 255  # what is seen there must not matter
    small = np.array([128.0, 128.0]) + 40 * STANDARD[:, :2] * [1, -1]  # all of the crop lies in the frame
    points = spread_68(small).float().repeat(frames, 1, 1)
    points[~detected] = 0
    guess = network_guess(Seen(), model, iter(grey(*levels)), points, detected)
    wanted = (50 + 4 * torch.arange(frames)) / 255
    wanted[:2] = wanted[2]
    torch.testing.assert_close(guess.expression, wanted[:, None].expand(-1, 64), atol=1e-5, rtol=0)
    torch.testing.assert_close(guess.shape, wanted[detected].mean().expand(frames, 80), atol=1e-5, rtol=0)
    assert bool(torch.isfinite(guess.pose).all())


def test_the_fit_starts_from_the_guess_and_both_starts_converge(model: LinearFaceModel) -> None:
    detected = torch.ones(6, dtype=torch.bool)
    shape, expression = 0.5 * torch.randn(80), 0.5 * torch.randn(64)
    pose, points = posed(model, 6, shape, expression)
    truth = Coefficients(shape.expand(6, -1), expression.expand(6, -1), pose)
    other = clip_guess(model, points, detected)
    for start, most in ((truth, 0.002), (other, 0.03)):  # a cloud of random vertices is no easy face
        assert float(fit(model, points, detected, pose, guess=start).error.max()) < most
    firm = FitOptions(regular=10.0)
    for start in (truth, other):
        held = fit(model, points, detected, pose, options=firm, guess=start)
        torch.testing.assert_close(held.expression, start.expression, atol=0.02, rtol=0)
    assert float((truth.expression - other.expression).abs().max()) > 0.2


def test_other_files_are_told_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "epoch_20.pth"
    state = network_state()
    few = {name: value for name, value in state.items() if name != "final_layers.1.bias"}
    for held, words in (
        ({"model": state}, "it holds no net_recon"),
        ({"net_recon": few}, r'Missing key\(s\) in state_dict: "final_layers\.1\.bias"'),
        (state["final_layers.0.bias"], "it holds no net_recon"),
        ({"net_recon": Path("code")}, "it holds more than tensors and plain values"),
    ):
        torch.save(held, path)
        with pytest.raises(DubbenchError, match=rf"epoch_20\.pth is not Deep3DFaceRecon's .*{words}.*; bring it anew"):
            load_d3dfr(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(DubbenchError, match=r"epoch_20\.pth is not Deep3DFaceRecon's"):
        load_d3dfr(path)


def test_a_face_model_with_fewer_components_is_refused(tmp_path: Path) -> None:
    held = packed()
    held["idBase"] = held["idBase"][:, :50]
    savemat(tmp_path / "BFM_model_front.mat", held)
    with pytest.raises(DubbenchError, match=r"regresses 80 shape and 64 expression .* has 50 and 64"):
        network_guess(ReconNet(), load_bfm(tmp_path), grey(9), torch.rand(1, 68, 2), torch.tensor([True]))
