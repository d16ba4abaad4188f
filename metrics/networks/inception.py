"""Features of FID's Inception network with the preprocessing of pytorch-fid."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from dubbench.errors import DubbenchError
from dubbench.metrics.common.images import levels
from dubbench.metrics.common.inference import evaluating

Network = Callable[[Tensor], Tensor]

SIDE = 299
WIDTH = 2048
# Layers that end where the features of a width are taken; the first two are followed by a max-pool.
STAGES: dict[int, tuple[str, ...]] = {
    64: ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3"),
    192: ("Conv2d_3b_1x1", "Conv2d_4a_3x3"),
    768: ("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    2048: ("Mixed_7a", "Mixed_7b", "Mixed_7c"),
}
POOLED = (64, 192)


class FIDInception(nn.Module):
    """Inception v3 as TensorFlow's FID network of 2015-12-05, in the layout of pytorch-fid's ``fid_inception_v3``.

    Its blocks are pytorch-fid 0.3.0's own. The weights are random until ``load_state_dict`` fills them, for instance
    from ``pt_inception-2015-12-05-6726825d.pth``. Runs in eval mode and without gradients, whatever mode it is put in.
    """

    def __init__(self) -> None:
        super().__init__()
        # pytorch-fid leads to torchvision, which `import dubbench.metrics` does without.
        from pytorch_fid import inception as package

        build = package.torchvision.models.inception_v3
        built = build(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
        for name, width, pooled in (("Mixed_5b", 192, 32), ("Mixed_5c", 256, 64), ("Mixed_5d", 288, 64)):
            setattr(built, name, package.FIDInceptionA(width, pool_features=pooled))
        for name, inner in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
            setattr(built, name, package.FIDInceptionC(768, channels_7x7=inner))
        built.Mixed_7b = package.FIDInceptionE_1(1280)
        built.Mixed_7c = package.FIDInceptionE_2(2048)
        for name, child in built.named_children():
            self.add_module(name, child)
        self.requires_grad_(False)
        # A third faster on a CPU than the default order, and on a GPU no slower.
        self.eval().to(memory_format=torch.channels_last)

    def forward(self, images: Tensor, dims: int = WIDTH) -> Tensor:
        """Features after a pooling stage, averaged over the image.

        Args:
            images: [N, 3, H, W] RGB, uint8 or floating in [0, 1], any size: it is resized to 299 x 299, bilinear
                without antialiasing and with ``align_corners=False``, and mapped to [-1, 1], as pytorch-fid does.
            dims: 64, 192, 768 or 2048 (pool3, the width FID is defined with).

        Returns:
            [N, dims] in the type of the weights.

        Raises:
            DubbenchError: on another shape, type, range or width.
        """
        if dims not in STAGES:
            raise DubbenchError(
                f"FIDInception has no features of width {dims}; take one of {', '.join(map(str, STAGES))}"
            )
        weight = self.get_parameter("Conv2d_1a_3x3.conv.weight")
        with evaluating(self):
            unit = (levels("image batch", images) / 255.0).to(weight)
            x = functional.interpolate(unit, size=(SIDE, SIDE), mode="bilinear", align_corners=False) * 2 - 1
            for width, layers in STAGES.items():
                for layer in layers:
                    x = self.get_submodule(layer)(x)
                if width in POOLED:
                    x = functional.max_pool2d(x, kernel_size=3, stride=2)
                if width == dims:
                    break
        return x.mean(dim=(2, 3))


def feature_width(network: Network) -> int:
    """Width of a network's features, found by giving it one black image of 64 pixels a side.

    Args:
        network: from images [N, 3, H, W] to features [N, D].

    Raises:
        DubbenchError: if it gives anything else than [1, D].
    """
    image = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    if isinstance(network, nn.Module):
        image = image.to(next((tensor.device for tensor in network.parameters()), image.device))
    with evaluating(network):
        features = network(image)
    if features.ndim != 2 or len(features) != 1:
        raise DubbenchError(f"the network makes {list(features.shape)} of one image; it must give features [N, D]")
    return features.shape[1]
