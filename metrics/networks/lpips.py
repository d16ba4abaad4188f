"""The network of LPIPS (Zhang et al., CVPR 2018), with the trained heads of the lpips package."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from dubbench.errors import DubbenchError
from dubbench.metrics.common.images import grey_levels
from dubbench.metrics.common.inference import evaluating

Trunk = Literal["alex", "vgg"]
# Below these sides a pooling layer has nothing left to pool.
SMALLEST: dict[str, int] = {"alex": 31, "vgg": 16}


def check_trunk(net: str) -> None:
    """Raise `DubbenchError` unless ``net`` names a trunk."""
    if net not in get_args(Trunk):
        raise DubbenchError(f"LPIPS knows no trunk {net!r}; there are {', '.join(get_args(Trunk))}")


class LPIPS(nn.Module):
    """Network of LPIPS version 0.1, in the state-dict layout of ``lpips.LPIPS(net)``.

    The linear heads are the trained ones of the lpips package. The trunk is random until `load_trunk` or
    ``load_state_dict`` fills it. Runs in eval mode and without gradients, whatever mode it is put in.

    Args:
        net: trunk, ``alex`` or ``vgg`` (VGG16).

    Raises:
        DubbenchError: on another trunk.
    """

    def __init__(self, net: Trunk = "alex") -> None:
        super().__init__()
        check_trunk(net)
        self.name: Trunk = net
        # The package leads to torchvision and scipy, which `import dubbench.metrics` does without.
        import lpips as package

        self.normalise: Callable[[Tensor], Tensor] = package.normalize_tensor
        # Without storage, so that VGG16's classifier, of which nothing stays, costs no 490 MB.
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            built = package.LPIPS(net=net, pretrained=False, pnet_rand=True, verbose=False)
        for name, child in built.to_empty(device="cpu").named_children():
            self.add_module(name, child)
        self._fill(Path(package.__file__).parent / "weights" / "v0.1" / f"{net}.pth")
        self.requires_grad_(False)
        # A third faster on a CPU than the default order, and on a GPU no slower.
        self.eval().to(memory_format=torch.channels_last)

    def _fill(self, heads: Path) -> None:
        """Give every tensor a value: the published normalisation, the package's heads, a random trunk."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                layer.reset_parameters()
        values = torch.load(heads, map_location="cpu", weights_only=True)
        values["scaling_layer.shift"] = torch.tensor([-0.030, -0.088, -0.188]).reshape(1, 3, 1, 1)
        values["scaling_layer.scale"] = torch.tensor([0.458, 0.448, 0.450]).reshape(1, 3, 1, 1)
        self.load_state_dict(values, strict=False)

    def load_trunk(self, state: Mapping[str, Tensor]) -> None:
        """Fill the trunk from torchvision's ``alexnet`` or ``vgg16`` file.

        Args:
            state: entries ``features.N.weight`` and ``features.N.bias``; others, the classifier's, are ignored.

        Raises:
            DubbenchError: if an entry is absent or has another shape.
        """
        for name, tensor in self.get_submodule("net").state_dict().items():
            source = f"features.{name.partition('.')[2]}"
            if source not in state or state[source].shape != tensor.shape:
                raise DubbenchError(
                    f"the LPIPS trunk {self.name} needs {source} of shape {list(tensor.shape)}, which the given state "
                    f"lacks; give torchvision's {'alexnet' if self.name == 'alex' else 'vgg16'} state_dict"
                )
            tensor.copy_(state[source])

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Distance of image pairs.

        Args:
            pred: [N, 3, H, W] RGB, uint8 or floating in [0, 1]; H and W at least 31 (alex) or 16 (vgg).
            target: as ``pred``.

        Returns:
            [N] in the type of the weights, 0 for equal images.

        Raises:
            DubbenchError: on other shapes, types or ranges.
        """
        with evaluating(self):
            left, right = grey_levels(pred, target)
            height, width = left.shape[-2:]
            if min(height, width) < SMALLEST[self.name]:
                raise DubbenchError(
                    f"LPIPS with {self.name} needs images of at least {SMALLEST[self.name]} pixels a side, not "
                    f"{width} x {height}; resize both to the protocol's size first"
                )
            return self._distance(left, right)

    def _distance(self, left: Tensor, right: Tensor) -> Tensor:
        """[N] distance of checked grey levels [N, 3, H, W]."""
        shift = self.get_buffer("scaling_layer.shift")
        scaling, trunk, heads = (self.get_submodule(name) for name in ("scaling_layer", "net", "lins"))
        taps = [trunk(scaling((levels / 127.5 - 1).to(shift))) for levels in (left, right)]
        total = torch.zeros(len(left), dtype=shift.dtype, device=shift.device)
        for head, one, other in zip(heads.children(), *taps, strict=True):
            total += head((self.normalise(one) - self.normalise(other)).square()).mean(dim=(1, 2, 3))
        return total
