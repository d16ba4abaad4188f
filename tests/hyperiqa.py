"""HyperIQA's file with random weights, and its arithmetic written another way."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.models import resnet50  # type: ignore[import-untyped]  # torchvision ships no types

# Names and shapes in SSL92/hyperIQA's koniq_pretrained.pkl beside those of its ResNet-50.
SHAPES = {
    "res.lda1_pool.0.weight": (16, 256, 1, 1),
    "res.lda1_fc.weight": (16, 1024),
    "res.lda1_fc.bias": (16,),
    "res.lda2_pool.0.weight": (32, 512, 1, 1),
    "res.lda2_fc.weight": (16, 512),
    "res.lda2_fc.bias": (16,),
    "res.lda3_pool.0.weight": (64, 1024, 1, 1),
    "res.lda3_fc.weight": (16, 256),
    "res.lda3_fc.bias": (16,),
    "res.lda4_fc.weight": (176, 2048),
    "res.lda4_fc.bias": (176,),
    "conv1.0.weight": (1024, 2048, 1, 1),
    "conv1.0.bias": (1024,),
    "conv1.2.weight": (512, 1024, 1, 1),
    "conv1.2.bias": (512,),
    "conv1.4.weight": (112, 512, 1, 1),
    "conv1.4.bias": (112,),
    "fc1w_conv.weight": (512, 112, 3, 3),
    "fc1w_conv.bias": (512,),
    "fc1b_fc.weight": (112, 112),
    "fc1b_fc.bias": (112,),
    "fc2w_conv.weight": (128, 112, 3, 3),
    "fc2w_conv.bias": (128,),
    "fc2b_fc.weight": (56, 112),
    "fc2b_fc.bias": (56,),
    "fc3w_conv.weight": (32, 112, 3, 3),
    "fc3w_conv.bias": (32,),
    "fc3b_fc.weight": (28, 112),
    "fc3b_fc.bias": (28,),
    "fc4w_conv.weight": (8, 112, 3, 3),
    "fc4w_conv.bias": (8,),
    "fc4b_fc.weight": (14, 112),
    "fc4b_fc.bias": (14,),
    "fc5w_fc.weight": (14, 112),
    "fc5w_fc.bias": (14,),
    "fc5b_fc.weight": (1, 112),
    "fc5b_fc.bias": (1,),
}


def state(seed: int = 0) -> dict[str, Tensor]:
    """Random weights under the file's names, with statistics of batches that are not those of a new net."""
    torch.manual_seed(seed)
    trunk = resnet50(weights=None).state_dict()
    made = {f"res.{name}": value for name, value in trunk.items() if not name.startswith("fc.")}
    for name, value in made.items():
        if name.endswith("running_mean"):
            value.normal_(0, 0.1)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 2)
    for name, shape in SHAPES.items():
        fan = torch.Size(shape[1:]).numel() if len(shape) > 1 else 1
        made[name] = torch.randn(shape) * fan**-0.5
    made["fc5b_fc.bias"] += 50
    return made


def write(path: Path, weights: dict[str, Tensor]) -> Path:
    """Write weights as torch did when the file was made: a pickle, no archive."""
    torch.save(weights, path, _use_new_zipfile_serialization=False)
    return path


def judged(weights: dict[str, Tensor], crop: Tensor) -> float:
    """Judge one normalised crop [3, 224, 224], layer by layer and cell by cell."""
    trunk = resnet50(weights=None).eval()
    own = {name.removeprefix("res."): value for name, value in weights.items() if name.startswith("res.")}
    trunk.load_state_dict({name: value for name, value in own.items() if "lda" not in name}, strict=False)
    stages: dict[int, Tensor] = {}
    for k in range(1, 5):
        layer = getattr(trunk, f"layer{k}")
        layer.register_forward_hook(lambda _, __, output, k=k: stages.__setitem__(k, output[0]))
    with torch.no_grad():
        trunk(crop[None])
        parts = []
        for k in (1, 2, 3):
            reduced = torch.einsum("oc,chw->ohw", weights[f"res.lda{k}_pool.0.weight"][:, :, 0, 0], stages[k])
            side = reduced.shape[1] // 7
            cells = reduced.reshape(len(reduced), side, 7, side, 7).mean((2, 4))
            parts.append(weights[f"res.lda{k}_fc.weight"] @ cells.flatten() + weights[f"res.lda{k}_fc.bias"])
        parts.append(weights["res.lda4_fc.weight"] @ stages[4].mean((1, 2)) + weights["res.lda4_fc.bias"])
        value, content = torch.cat(parts), stages[4]
        for k in (0, 2, 4):
            mixed = torch.einsum("oc,chw->ohw", weights[f"conv1.{k}.weight"][:, :, 0, 0], content)
            content = (mixed + weights[f"conv1.{k}.bias"][:, None, None]).clamp(min=0)
        mean = content.mean((1, 2))
        for k, (inner, outer) in enumerate(((224, 112), (112, 56), (56, 28), (28, 14)), 1):
            maps = functional.conv2d(content[None], weights[f"fc{k}w_conv.weight"], padding=1)[0]
            maps = maps + weights[f"fc{k}w_conv.bias"][:, None, None]
            matrix = maps.flatten().reshape(outer, inner)
            bias = weights[f"fc{k}b_fc.weight"] @ mean + weights[f"fc{k}b_fc.bias"]
            value = 1 / (1 + torch.exp(-(matrix @ value + bias)))
        last = weights["fc5w_fc.weight"] @ mean + weights["fc5w_fc.bias"]
        return float(last @ value + weights["fc5b_fc.weight"][0] @ mean + weights["fc5b_fc.bias"][0])
