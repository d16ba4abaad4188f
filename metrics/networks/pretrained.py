"""Networks of the metrics with the weights of `dubbench.assets.store`, ready to use."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from torch import nn

from dubbench.assets import store
from dubbench.core.files import sha256
from dubbench.errors import DubbenchError, misfit
from dubbench.metrics.common.options import EMBEDDERS, SuiteOptions
from dubbench.metrics.networks.embedder import ArcFace
from dubbench.metrics.networks.inception import FIDInception
from dubbench.metrics.networks.lpips import LPIPS, Trunk, check_trunk
from dubbench.metrics.syncnet.network import SyncNet

if TYPE_CHECKING:
    from dubbench.face.s3fd import S3FD

Network = TypeVar("Network", bound=nn.Module)

SYNCNET = "syncnet_v2.model"
DETECTOR = "sfd_face.pth"
INCEPTION = "pt_inception-2015-12-05-6726825d.pth"
TRUNKS = {"alex": "alexnet-owt-7be5be79.pth", "vgg": "vgg16-397923af.pth"}
IMAGENET_EMBEDDER = "MobileFaceNet.onnx"


@dataclass(frozen=True)
class Pretrained:
    """How a metric's network is had where none is handed in; a metric's file says it for each key in ``NETWORKS``.

    Attributes:
        load: makes the network, by what the run chooses.
        file: the asset with its weights, for records; empty where the network describes itself.
    """

    load: Callable[[SuiteOptions], object]
    file: str = ""


def syncnet() -> SyncNet:
    """SyncNet v2 with the weights that its makers published.

    Raises:
        DubbenchError: if the file is not here or damaged.
    """
    return _filled(SyncNet, SYNCNET)


def s3fd() -> "S3FD":
    """The face detector of the official SyncNet pipeline.

    Raises:
        DubbenchError: if the file is not here or damaged.
    """
    from dubbench.face.s3fd import S3FD  # leads to torchvision, which `import dubbench.metrics` does without

    return _filled(S3FD, DETECTOR)


def inception() -> FIDInception:
    """pytorch-fid's Inception network.

    Raises:
        DubbenchError: if the file is not here or damaged.
    """
    return _filled(FIDInception, INCEPTION)


def lpips_network(net: Trunk = "alex") -> LPIPS:
    """LPIPS version 0.1 on torchvision's trunk.

    Raises:
        DubbenchError: on another trunk, or if its file is not here or damaged.
    """
    check_trunk(net)
    path = store.find(TRUNKS[net])
    network = LPIPS(net)
    network.load_trunk(store.load_tensors(path))
    return network


def embedder(name_or_path: str | Path = EMBEDDERS[0]) -> ArcFace:
    """A face embedder, images normalised as the network was trained.

    Args:
        name_or_path: one of `EMBEDDERS`, or the path of any ArcFace-shaped ONNX file.

    Raises:
        DubbenchError: if the file is not here or damaged, or has another shape.
    """
    if str(name_or_path) in EMBEDDERS:
        path = store.find(str(name_or_path))
    else:
        path = Path(name_or_path)
        if not path.is_file():
            raise DubbenchError(
                f"there is no face embedder {str(name_or_path)!r}; name an ArcFace-shaped ONNX file, or one of "
                f"{', '.join(EMBEDDERS)} (by `dubbench assets pull NAME` or from the folder in DUBBENCH_ASSETS)"
            )
    # By content, so that a renamed copy gives the same numbers.
    trained_on_imagenet_range = sha256(path) == store.get(IMAGENET_EMBEDDER).digest
    return ArcFace(path, "imagenet" if trained_on_imagenet_range else None)


def _filled(build: Callable[[], Network], name: str) -> Network:
    """A network with the weights of the asset ``name``; without them none is built, which takes seconds."""
    path = store.find(name)
    network = build()
    try:
        network.load_state_dict(store.load_tensors(path))
    except RuntimeError as error:
        raise DubbenchError(
            f"{path} does not fit {type(network).__name__} ({misfit(error)}); fetch it again"
        ) from error
    return network
