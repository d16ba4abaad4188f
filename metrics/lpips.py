"""Learned perceptual image patch similarity (Zhang et al., CVPR 2018) as the lpips package computes it."""

from collections.abc import Callable

from torch import Tensor

from dubbench.metrics.catalogue import Definition
from dubbench.metrics.common.frames import Frames, NetworkMetric
from dubbench.metrics.common.inference import evaluating
from dubbench.metrics.networks import pretrained
from dubbench.metrics.networks.pretrained import TRUNKS, Pretrained

DEFINITIONS = (
    Definition(
        name="lpips_alex",
        text="LPIPS 0.1 with AlexNet's features",
        unit="1",
        better="lower",
        version=1,
        needs="crops",
        network="lpips_alex",
        order=70,
        title="LPIPS",
        reference="lpips 0.1.4",
        deviation="none: the trained heads of the lpips wheel",
        reached="1.5e-8 (1e-5)",
    ),
    Definition(
        name="lpips_vgg",
        text="LPIPS 0.1 with VGG16's features",
        unit="1",
        better="lower",
        version=1,
        needs="crops",
        network="lpips_vgg",
        order=80,
        minor=True,
        title="LPIPS (VGG)",
        reference="lpips 0.1.4",
        deviation="none: the trained heads of the lpips wheel",
        reached="1.5e-8 (1e-5)",
    ),
)


def lpips(pred: Tensor, target: Tensor, network: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """LPIPS, a value a sample: squared differences of unit-length features, weighted, averaged, summed over layers.

    Equal to ``lpips.LPIPS(net)(pred, target, normalize=True)`` of lpips 0.1.4 on images in [0, 1].

    Args:
        pred: [N, 3, H, W] RGB, uint8 or floating in [0, 1].
        target: as ``pred``.
        network: `LPIPS` with its trunk loaded.

    Returns:
        [N] float64, 0 for equal images.

    Raises:
        DubbenchError: on other shapes, types or ranges.
    """
    with evaluating(network):
        return network(pred, target).double()


def _lpips(frames: Frames, network: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    return network(frames.crops, frames.truth.crops).double()


COMPUTE: dict[str, NetworkMetric] = {"lpips_alex": _lpips, "lpips_vgg": _lpips}
NETWORKS = {
    "lpips_alex": Pretrained(lambda _: pretrained.lpips_network("alex"), TRUNKS["alex"]),
    "lpips_vgg": Pretrained(lambda _: pretrained.lpips_network("vgg"), TRUNKS["vgg"]),
}
