"""Both stages of PersonaTalk as one generator, so that one checkpoint and one average hold all that dubs."""

from typing import cast

import torch
from torch import Tensor, nn

from dubbench.models.personatalk.geometry import GeometryGenerator
from dubbench.models.personatalk.renderer import DualAttentionRenderer


class TwoStages(nn.Module):
    """The geometry generator (3.1) and the renderer (3.2).

    Attributes:
        begun: bool [2], whether each of the two has been trained.
    """

    begun: Tensor

    def __init__(self, geometry: GeometryGenerator, renderer: DualAttentionRenderer) -> None:
        super().__init__()
        self.geometry, self.renderer = geometry, renderer
        self.register_buffer("begun", torch.zeros(2, dtype=torch.bool))


def stages_of(generator: nn.Module) -> TwoStages:
    """A generator, or the average of one, as what it is: its own type is lost on the way."""
    return cast(TwoStages, generator)
