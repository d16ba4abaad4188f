"""What a method's work takes wherever it runs: multiply-adds and parameters, told apart by part."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torchvision  # type: ignore[import-untyped]  # noqa: F401  # has the operator that is counted below
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from dubbench.models.parts import Watch


@dataclass
class Counted:
    """What a piece of work took.

    Attributes:
        multiply_adds: of convolutions, matrix products and attention, the two of which one multiply-add consists
            counted as one; nothing else counts.
        by_part: those of each part.
        parameters: by part, how many of the model's parameters it used; what two parts use is the first one's.
        networks: modules of the model that were called from outside any module, in order.
    """

    multiply_adds: float = 0.0
    by_part: dict[str, float] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)
    networks: list[nn.Module] = field(default_factory=list)


def count(model: nn.Module, work: Callable[[], None]) -> Counted:
    """Do the work once and count.

    Nothing runs compiled meanwhile, and attention is done by plain matrix products, so that the numbers do not depend
    on the device, whose own kernels the counter may not know.

    Args:
        model: whose parameters and modules are looked for.
        work: what runs it, with its parts marked.
    """
    found = Counted()
    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.torchvision.deform_conv2d: _deform_conv2d})
    with Watch(lambda: counter.get_total_flops() / 2) as watch, ExitStack() as stack:
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(_separate_operators())
        stack.enter_context(_outermost(model, found.networks))
        stack.enter_context(_Used(model, watch, found.parameters))
        stack.enter_context(counter)
        work()
    found.multiply_adds, found.by_part = watch.total, watch.spent
    return found


class _Used(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch gives its modes no types
    """Adds the model's parameters to the part whose operators first take them."""

    def __init__(self, model: nn.Module, watch: Watch, parameters: dict[str, int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._watch, self._parameters = watch, parameters
        self._unused = {id(parameter) for parameter in model.parameters()}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        name = self._watch.current
        for leaf in tree_leaves((args, kwargs)) if name else ():
            if isinstance(leaf, Tensor) and id(leaf) in self._unused:
                self._unused.remove(id(leaf))
                self._parameters[name] = self._parameters.get(name, 0) + leaf.numel()
        return func(*args, **(kwargs or {}))


@contextmanager
def _separate_operators() -> Iterator[None]:
    """Keep transformer layers from running as one operator that the counter does not know."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def _outermost(model: nn.Module, networks: list[nn.Module]) -> Iterator[None]:
    """Note which of the model's modules are called from outside all others."""
    own, depth = set(model.modules()), 0

    def enter(module: nn.Module, *_: object) -> None:
        nonlocal depth
        if not depth and module in own and module not in networks:
            networks.append(module)
        depth += 1

    def leave(*_: object) -> None:
        nonlocal depth
        depth -= 1

    handles = (register_module_forward_pre_hook(enter), register_module_forward_hook(leave, always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _deform_conv2d(
    inputs: Sequence[int], weight: Sequence[int], *_: object, out_shape: Sequence[int], **__: object
) -> int:
    """Floating-point operations of torchvision's deformable convolution: a convolution's."""
    return 2 * math.prod(out_shape) * math.prod(weight[1:])
