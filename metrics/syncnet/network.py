"""SyncNet v2: the two networks that judge whether lips and speech belong together."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dubbench.errors import DubbenchError

FRAMES = 5  # frames in one window
SIZE = 224  # pixels, width and height of a frame
COLUMNS = 20  # MFCC rows in one window
COEFFICIENTS = 13
EMBEDDING = 1024
_BATCH = 20  # windows of picture at once, whatever the length
_PIECE = 5  # windows at once in the first layer on a CPU: few enough that the cache holds its large output


class SyncEmbedder(Protocol):
    """What a sync score asks of a network: embeddings of windows of frames and of windows of sound."""

    def visual(self, frames: Tensor) -> Tensor:
        """[T, 3, 224, 224] BGR in 0..255 -> [T - 4, E]."""

    def audio(self, windows: Tensor) -> Tensor:
        """[N, 1, 13, 20] MFCC -> [N, E]."""


class SyncNet(nn.Module):
    """SyncNet v2 in the state-dict layout of joonson/syncnet_python's ``S`` (102 entries, 13.6 million parameters).

    A file written by an old PyTorch, which has no ``num_batches_tracked``, loads as well. The network only judges: it
    stays in evaluation mode, without gradients. Source: Chung and Zisserman, Out of time: automated lip sync in the
    wild (2016), and SyncNetModel.py of that repository.
    """

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_planar(1, 64, 3, padding=1),
            nn.MaxPool2d(1),
            *_planar(64, 192, 3, padding=1),
            nn.MaxPool2d(3, (1, 2)),
            *_planar(192, 384, 3, padding=1),
            *_planar(384, 256, 3, padding=1),
            *_planar(256, 256, 3, padding=1),
            nn.MaxPool2d(3, 2),
            *_planar(256, 512, (5, 4)),
        )
        self.netfcaud = _head()
        self.netfclip = _head()
        self.netcnnlip = nn.Sequential(
            *_spatial(3, 96, 7, frames=FRAMES, stride=2),
            _pool(),
            *_spatial(96, 256, 5, stride=2, padding=1),
            _pool(padding=1),
            *_spatial(256, 256, 3, padding=1),
            *_spatial(256, 256, 3, padding=1),
            *_spatial(256, 256, 3, padding=1),
            _pool(),
            *_spatial(256, 512, 6),
        )
        self.register_load_state_dict_pre_hook(_add_missing_counts)  # type: ignore[no-untyped-call]
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "SyncNet":
        """Stay in evaluation mode: a judge must not adapt its statistics to what it judges."""
        return super().train(mode=False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.netfcaud[0].weight.device  # type: ignore[return-value]

    def visual(self, frames: Tensor) -> Tensor:
        """Embeddings of all windows of five frames in one run; equal to the official ``forward_lip`` window by window.

        Args:
            frames: [T, 3, 224, 224] in BGR, 0..255, uint8 or floating, T at least 5.

        Returns:
            [T - 4, 1024] float32, not normalised; row t is the window of frames t to t + 4.

        Raises:
            DubbenchError: on other shapes.
        """
        return self.folded().visual(frames)

    def audio(self, windows: Tensor) -> Tensor:
        """Embeddings of windows of sound; equal to the official ``forward_aud``.

        Args:
            windows: [N, 1, 13, 20] MFCC, one column every 10 ms (`dubbench.metrics.syncnet.mfcc`).

        Returns:
            [N, 1024] float32, not normalised.

        Raises:
            DubbenchError: on other shapes.
        """
        return self.folded().audio(windows)

    def folded(self, device: torch.device | str | None = None) -> "FoldedSyncNet":
        """The same function in its quick form, made of the weights as they are now.

        Args:
            device: where it shall run, where the weights are if not given.
        """
        return FoldedSyncNet(self, torch.device(device) if device is not None else self.device)


class FoldedSyncNet:
    """SyncNet with each normalisation folded into its convolution and plain 2-D convolutions on stacked frames.

    Time is only mixed in the first convolution, so five frames stacked into 15 channels say all that a window holds,
    and each window is computed once. Channels last is the layout that the 2-D kernels want; it is also how decoded
    frames lie in memory.

    Args:
        network: the weights; later changes to them do not reach this object.
        device: where to run.
    """

    def __init__(self, network: SyncNet, device: torch.device) -> None:
        self.device = device
        self._visual = [_fold(network.netcnnlip, i, device) for i in (0, 4, 8, 11, 14, 18)]
        self._audio = [_fold(network.netcnnaud, i, device) for i in (0, 4, 8, 11, 14, 18)]
        self._visual_head = _heads(network.netfclip, device)
        self._audio_head = _heads(network.netfcaud, device)

    def visual(self, frames: Tensor) -> Tensor:
        """As `SyncNet.visual`."""
        if frames.ndim != 4 or frames.shape[1:] != (3, SIZE, SIZE) or len(frames) < FRAMES:
            raise DubbenchError(
                f"SyncNet was given frames {list(frames.shape)}; give [T, 3, {SIZE}, {SIZE}] with at least {FRAMES}"
            )
        with torch.no_grad(), full_precision(self.device):
            return torch.cat([self._lips(part.to(self.device)) for part in _overlapping(frames, _BATCH)])

    def _lips(self, frames: Tensor) -> Tensor:
        piece = _PIECE if self.device.type == "cpu" else _BATCH
        x = torch.cat([self._motion(part) for part in _overlapping(frames, piece)])
        _, second, third, fourth, fifth, last = self._visual
        x = F.max_pool2d(F.conv2d(x, *second, stride=2, padding=1), 3, 2, padding=1).relu_()
        x = F.conv2d(x, *third, padding=1).relu_()
        x = F.conv2d(x, *fourth, padding=1).relu_()
        x = F.max_pool2d(F.conv2d(x, *fifth, padding=1), 3, 2).relu_()
        return _embed(F.conv2d(x, *last).relu_().flatten(1), self._visual_head)

    def _motion(self, frames: Tensor) -> Tensor:
        """The first layer, the only one that mixes frames: [n + 4, 3, 224, 224] -> [n, 96, 54, 54]."""
        x = frames.permute(0, 2, 3, 1).float().unfold(0, FRAMES, 1)  # [n, height, width, colour, frame]
        x = x.contiguous().flatten(3).permute(0, 3, 1, 2)
        # A maximum and a ReLU may change places, and after pooling there is less to do.
        return F.max_pool2d(F.conv2d(x, *self._visual[0], stride=2), 3, 2).relu_()

    def audio(self, windows: Tensor) -> Tensor:
        """As `SyncNet.audio`."""
        if windows.ndim != 4 or windows.shape[1:] != (1, COEFFICIENTS, COLUMNS):
            raise DubbenchError(
                f"SyncNet was given sound {list(windows.shape)}; give MFCC windows [N, 1, {COEFFICIENTS}, {COLUMNS}]"
            )
        with torch.no_grad(), full_precision(self.device):
            x = windows.to(self.device, torch.float32).contiguous(memory_format=torch.channels_last)
            first, second, third, fourth, fifth, last = self._audio
            x = F.conv2d(x, *first, padding=1).relu_()
            x = F.max_pool2d(F.conv2d(x, *second, padding=1), 3, (1, 2)).relu_()
            x = F.conv2d(x, *third, padding=1).relu_()
            x = F.conv2d(x, *fourth, padding=1).relu_()
            x = F.max_pool2d(F.conv2d(x, *fifth, padding=1), 3, 2).relu_()
            return _embed(F.conv2d(x, *last).relu_().flatten(1), self._audio_head)


Affine = tuple[Tensor, Tensor]


def _overlapping(frames: Tensor, windows: int) -> list[Tensor]:
    """The frames in pieces of this many windows, each with the four frames that its last window reaches into."""
    last = FRAMES - 1
    return [frames[start : start + windows + last] for start in range(0, len(frames) - last, windows)]


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Convolutions in float32 with all its digits: neither autocast nor TF32, which would move the distances."""
    cudnn = torch.backends.cudnn
    exact = cudnn.flags(enabled=cudnn.enabled, allow_tf32=False) if device.type == "cuda" else nullcontext()
    with torch.autocast(device.type, enabled=False), exact:
        yield


def _embed(features: Tensor, head: list[Affine]) -> Tensor:
    hidden, out = head
    return F.linear(F.linear(features.double(), *hidden).relu_(), *out).float()


def _fold(layers: nn.Sequential, index: int, device: torch.device) -> Affine:
    """Weight, scaled, and bias of a layer together with the batch norm after it; 3-D convolutions become 2-D ones."""
    weight, bias = _copy(layers[index], device)
    norm = layers[index + 1]
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale, shift = _copy(norm, device)
    scale = scale.double() / torch.sqrt(norm.running_var.to(device, torch.float64) + norm.eps)
    shift = (bias.double() - norm.running_mean.to(device, torch.float64)) * scale + shift.double()
    if weight.ndim == 5:
        weight = weight.flatten(1, 2)  # colour and frame together are the channel
    layout = torch.channels_last if weight.ndim == 4 else torch.contiguous_format
    folded = torch.empty_like(weight, memory_format=layout)
    torch.mul(weight, scale.to(weight.dtype).view(-1, *[1] * (weight.ndim - 1)), out=folded)
    return folded, shift.to(bias.dtype)


def _heads(layers: nn.Sequential, device: torch.device) -> list[Affine]:
    """Both linear layers in float64: next to the convolutions that costs nothing, and no TF32 can touch it."""
    return [(weight.double(), bias.double()) for weight, bias in (_fold(layers, 0, device), _copy(layers[3], device))]


def _copy(layer: nn.Module, device: torch.device) -> Affine:
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor)
    assert isinstance(bias, Tensor)
    return weight.detach().to(device), bias.detach().to(device)


def _planar(inputs: int, outputs: int, kernel: int | tuple[int, int], padding: int = 0) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel, padding=padding), nn.BatchNorm2d(outputs), nn.ReLU()]


def _spatial(
    inputs: int, outputs: int, kernel: int, frames: int = 1, stride: int = 1, padding: int = 0
) -> list[nn.Module]:
    convolution = nn.Conv3d(
        inputs, outputs, (frames, kernel, kernel), stride=(1, stride, stride), padding=(0, padding, padding)
    )
    return [convolution, nn.BatchNorm3d(outputs), nn.ReLU()]


def _pool(padding: int = 0) -> nn.Module:
    return nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, padding, padding))


def _head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, EMBEDDING))


def _add_missing_counts(network: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            state.setdefault(prefix + name, value)
