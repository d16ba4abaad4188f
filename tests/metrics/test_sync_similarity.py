import numpy as np
import pytest
import torch
from torch import Tensor

from dubbench.errors import DubbenchError
from dubbench.metrics import SyncSimilarity, sync_similarity
from dubbench.models.sync_expert.networks import SyncNetwork


def brightness(frames: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
    """A stand-in expert: five frames' mean colours against the loudness of five windows' bands."""
    lips = frames.mean(dim=(3, 4)).unfold(1, 5, 1).flatten(2)
    return lips, mel[..., :3, :].mean(dim=3).unfold(1, 5, 1).flatten(2)


def clips(count: int, frames: int) -> tuple[Tensor, Tensor]:
    """Clips whose colours are those of their speech, and their mel windows."""
    random = torch.Generator().manual_seed(0)
    tones = torch.randint(0, 256, (count, frames, 3), generator=random, dtype=torch.uint8)
    mel = torch.zeros(count, frames, 80, 20)
    mel[..., :3, :] = (tones.float() / 127.5 - 1)[..., None]
    return tones[..., None, None].expand(count, frames, 3, 8, 8).contiguous(), mel


def test_in_step_is_one_and_a_shift_is_less() -> None:
    frames, mel = clips(3, 12)
    assert sync_similarity(brightness, frames, mel).tolist() == pytest.approx([1.0] * 3, abs=1e-6)
    late = sync_similarity(brightness, frames[:, 1:], mel[:, :-1])
    assert float(late.max()) < 0.7


@pytest.mark.parametrize("time", [5, 6, 11])
def test_the_mean_of_the_cosines_of_all_windows(time: int) -> None:
    frames, mel = clips(2, time)
    mel = mel.flip(1)
    values = sync_similarity(brightness, frames, mel)
    assert values.dtype == torch.float64
    colours = frames.double().numpy()[..., 0, 0] / 127.5 - 1
    speech = mel.double().numpy()[..., :3, 0]
    for k in range(2):
        cosines = []
        for start in range(time - 4):
            a, b = colours[k, start : start + 5].ravel(), speech[k, start : start + 5].ravel()
            cosines.append(a @ b / np.sqrt((a @ a) * (b @ b)))
        assert float(values[k]) == pytest.approx(np.mean(cosines), abs=1e-6)


def test_floating_frames_are_the_same_and_ranges_are_checked() -> None:
    frames, mel = clips(2, 7)
    mel = mel.flip(1)
    exact = sync_similarity(brightness, frames, mel)
    torch.testing.assert_close(sync_similarity(brightness, frames / 255, mel), exact, rtol=0, atol=1e-6)
    for wrong in (frames / 127.5 - 1, frames.float(), frames.int(), frames / 255 * torch.nan):
        with pytest.raises(DubbenchError, match=r"in \[0, 1\]"):
            sync_similarity(brightness, wrong, mel)


def test_other_shapes_are_refused() -> None:
    frames, mel = clips(2, 7)
    for wrong in (frames[0], frames[:, :, :1], frames[:0]):
        with pytest.raises(DubbenchError, match=r"\[B, T, 3, S, S\]"):
            sync_similarity(brightness, wrong, mel)
    for less in (mel[:, :6], mel[:1], mel[..., 0]):
        with pytest.raises(DubbenchError, match="mel has shape"):
            sync_similarity(brightness, frames, less)
    with pytest.raises(DubbenchError, match="4 frames is too short"):
        sync_similarity(brightness, frames[:, :4], mel[:, :4])
    with pytest.raises(DubbenchError, match="sync expert gave"):
        sync_similarity(lambda frames, mel: (frames[:, :, 0, 0], mel[:, :, 0]), frames, mel)


def test_the_sync_expert_s_own_network_fits() -> None:
    """Dropout off, cosines in [0, 1] since its embeddings are never negative, and the network left as it was."""
    torch.manual_seed(0)
    network = SyncNetwork(24, (4, 8, 8, 8), (1, 1, 1, 1), (4, 8, 8, 8), (1, 1, 1, 1), 16, 0.5, 0.07).train()
    frames, mel = clips(2, 9)
    frames = frames.repeat_interleave(4, 3).repeat_interleave(4, 4)
    metric = SyncSimilarity(network).train()
    for k in range(2):
        metric.update(frames[k : k + 1], mel[k : k + 1])
    assert network.training
    with torch.no_grad():
        lips, speech = network.eval()(frames / 127.5 - 1, mel)
        wanted = torch.nn.functional.cosine_similarity(lips, speech, dim=-1).mean()
    assert 0 < float(wanted) < 1
    torch.testing.assert_close(metric.compute(), wanted.double(), rtol=1e-5, atol=0)
    assert metric.higher_is_better
