"""Both stages of PersonaTalk as one generator."""

from typing import cast

from torch import nn

from dubbench.models.personatalk.geometry import GeometryGenerator
from dubbench.models.personatalk.renderer import DualAttentionRenderer
from dubbench.models.two_stages import TwoStages


class PersonaTalkStages(TwoStages):
    """The geometry generator (3.1) and the renderer (3.2)."""

    first_stage = "geometry"
    renderer: DualAttentionRenderer

    def __init__(self, geometry: GeometryGenerator, renderer: DualAttentionRenderer) -> None:
        super().__init__()
        self.geometry, self.renderer = geometry, renderer


def stages_of(generator: nn.Module) -> PersonaTalkStages:
    """A generator, or the average of one, as what it is: its own type is lost on the way."""
    return cast(PersonaTalkStages, generator)
