"""PersonaTalk's inference over one clip: speech to geometry to frames, as a stream."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dubbench.datamodules.batch import SAMPLES_PER_FRAME
from dubbench.datamodules.geometry import read_geometry
from dubbench.datamodules.windows import thinned
from dubbench.face3d.model import LinearFaceModel, project
from dubbench.models.base import faces_among
from dubbench.models.layers.overlap import overlapping
from dubbench.models.layers.pictures import casting, to_frames, to_pictures
from dubbench.models.parts import part
from dubbench.models.personatalk.networks import PersonaTalkStages
from dubbench.models.personatalk.references import Frames, at_random, by_opening, mouth_opening, nearest
from dubbench.models.personatalk.renderer import Tokens

if TYPE_CHECKING:
    from dubbench.datamodules.clip import PreparedClip

TOKENS = 2**16  # face-reference tokens of the frames that are drawn at once
ENCODED_AT_ONCE = 8  # references in one batch of the encoders


@dataclass(frozen=True)
class DubbingSettings:
    """How a clip is dubbed.

    Attributes:
        size: side of the frames.
        frames: T of the geometry generator's windows.
        style_frames: at most how many frames tell style and template, as in training.
        face_references: N_f.
        lip_references: N_l.
        selection: False draws references at random.
        precision: of autocast, or None.
    """

    size: int
    frames: int
    style_frames: int
    face_references: int
    lip_references: int
    selection: bool
    precision: torch.dtype | None


class PersonaTalkDubbing:
    """One clip being dubbed; memory does not grow with its length but for a few hundred numbers a frame."""

    def __init__(
        self,
        stages: PersonaTalkStages,
        face: LinearFaceModel,
        clip: "PreparedClip",
        speech: NDArray[np.float32],
        references: Sequence[int],
        settings: DubbingSettings,
    ) -> None:
        """Read the clip's coefficients; the rest happens when frames are asked for.

        Args:
            stages: trained networks in eval mode.
            face: their face model.
            clip: what is dubbed.
            speech: float32 at 16 kHz from the clip's first frame on.
            references: frames that may be looked at; those without a face are not.
            settings: how.

        Raises:
            DubbenchError: if the clip has no coefficients of this face model, or none of the frames a face.
        """
        self.stages, self.face, self.clip, self.settings = stages, face, clip, settings
        self.speech = speech
        self.device = face.mean.device
        coefficients = read_geometry(clip, face.hash())
        self.shape, self.expression, self.pose = (
            torch.from_numpy(coefficients.rows(name)) for name in ("shape", "expression", "pose")
        )
        self.allowed: Frames = faces_among(clip, references)
        self._pncc, self._triangles, self._lips = (
            tensor.cpu().numpy() for tensor in (face.pncc(), face.triangles, face.regions["lips"])
        )
        self._encoded: dict[int, tuple[Tensor, Tensor]] = {}  # by group of `ENCODED_AT_ONCE` allowed frames

    def frames(self, start: int = 0) -> Iterator[NDArray[np.uint8]]:
        """Yield the clip's frames from ``start`` on, uint8 [size, size, 3] RGB, in order."""
        style, template = self._speaker()
        lip = self._lip_source()
        tokens = self.settings.face_references * self.stages.renderer.side**2
        batch, first = max(1, TOKENS // tokens), 0
        for offsets in overlapping(partial(self._speak, style, template), len(self.clip), self.settings.frames):
            for chunk in torch.split(offsets, batch):
                # Never other batches: they would round otherwise, and where it began would be seen.
                if first + len(chunk) > start:
                    drawn = self._draw(range(first, first + len(chunk)), template + chunk, lip)
                    yield from drawn[max(start - first, 0) :]
                first += len(chunk)

    @torch.inference_mode()
    def _speaker(self) -> tuple[Tensor, Tensor]:
        """Style [1, D] and template vertices [L, 3] of the frames that may be seen (3.1: of the reference video)."""
        some = thinned(self.allowed, self.settings.style_frames)
        expression, shape = self.expression[some].to(self.device), self.shape[some].to(self.device)
        with casting(self.device, self.settings.precision), part("speech to geometry"):
            style = self.stages.geometry.embed_style(expression[None], self.face.expression_basis)
        return style, self.face.vertices(shape.mean(0), torch.zeros_like(expression[0]))

    @torch.inference_mode()
    def _speak(self, style: Tensor, template: Tensor, start: int, stop: int) -> Tensor:
        """Offsets [stop - start, L, 3] from the template for the frames start to stop - 1."""
        heard = self.speech[start * SAMPLES_PER_FRAME : stop * SAMPLES_PER_FRAME]
        waveform = np.pad(heard, (0, (stop - start) * SAMPLES_PER_FRAME - len(heard)))
        with casting(self.device, self.settings.precision), part("speech to geometry"):
            offsets: Tensor = self.stages.geometry(
                torch.from_numpy(waveform).to(self.device)[None], style, (template - self.face.mean)[None]
            )
        return offsets[0]

    @torch.inference_mode()
    def _draw(self, numbers: range, spoken: Tensor, lip: Tokens | None) -> NDArray[np.uint8]:
        """Render frames with the lower face of ``spoken`` [N, L, 3] and the upper face and pose of their own (3.1)."""
        vertices = self._vertices(list(numbers))
        lower = self.face.regions["lower_face"]
        vertices[:, lower] = spoken[:, lower]
        pncc, lips = self._maps(vertices, list(numbers))
        face = self._face_source(numbers)
        with casting(self.device, self.settings.precision), part("renderer"):
            images = self.stages.renderer.render(pncc, lips, face, lip)
        return to_frames(images)

    @torch.inference_mode()
    def _lip_source(self) -> Tokens | None:
        """Keys and values of the lip references: one set for the whole clip, so that lips do not flicker (3.2)."""
        if self.stages.renderer.lip is None:
            return None
        count = self.settings.lip_references
        if self.settings.selection:
            shape, expression = self.shape[self.allowed], self.expression[self.allowed]
            openings = mouth_opening(self.face, shape.to(self.device), expression.to(self.device))
            chosen = by_opening(openings.cpu().numpy(), self.allowed, count)
        else:
            chosen = at_random(0, self.allowed, count)
        parts = [self._encode(group.tolist()) for group in np.array_split(chosen, -(-len(chosen) // ENCODED_AT_ONCE))]
        geometry, texture, lips = (torch.cat(tensors)[None] for tensors in zip(*parts, strict=True))
        with casting(self.device, self.settings.precision), part("renderer"):
            return self.stages.renderer.lip_source(geometry, texture, lips)

    def _face_source(self, numbers: range) -> Tokens | None:
        """Keys and values of each frame's face references, or of all as one where all frames have the same."""
        if self.stages.renderer.face is None:
            return None
        choose = nearest if self.settings.selection else at_random
        rows = [choose(i, self.allowed, self.settings.face_references).tolist() for i in numbers]
        if all(row == rows[0] for row in rows):
            rows = rows[:1]
        indices = np.searchsorted(self.allowed, np.array(rows))
        # Neighbours share most references: what these frames needed is kept for the next, and nothing older.
        self._encoded = {group: self._group(group) for group in np.unique(indices // ENCODED_AT_ONCE).tolist()}
        geometry, texture = (
            torch.stack([torch.stack([self._token(index, kind) for index in row]) for row in indices.tolist()])
            for kind in (0, 1)
        )
        with casting(self.device, self.settings.precision), part("renderer"):
            return self.stages.renderer.face_source(geometry, texture)

    def _group(self, group: int) -> tuple[Tensor, Tensor]:
        """Tokens of some neighbours among the allowed frames, always the same ones: other batches round otherwise."""
        if group not in self._encoded:
            first = group * ENCODED_AT_ONCE
            self._encoded[group] = self._encode(self.allowed[first : first + ENCODED_AT_ONCE].tolist())[:2]
        return self._encoded[group]

    def _token(self, index: int, kind: int) -> Tensor:
        """Geometry (0) or texture tokens (1) of an allowed frame by its index in `allowed`."""
        return self._encoded[index // ENCODED_AT_ONCE][kind][index % ENCODED_AT_ONCE]

    def _encode(self, numbers: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Geometry tokens, texture tokens [N, K, C] and lip masks [N, 1, size, size] of the clip's own frames."""
        pictures = to_pictures(self.clip.frames(numbers, self.settings.size), self.device)
        pncc, lips = self._maps(self._vertices(numbers), numbers)
        with casting(self.device, self.settings.precision), part("renderer"):
            return *self.stages.renderer.encode(pictures, pncc), lips

    def _vertices(self, numbers: list[int]) -> Tensor:
        """The frames' own vertices [N, L, 3] without pose, {alpha_t, beta_t, 0}."""
        return self.face.vertices(self.shape[numbers].to(self.device), self.expression[numbers].to(self.device))

    def _maps(self, vertices: Tensor, numbers: list[int]) -> tuple[Tensor, Tensor]:
        """PNCC [N, 3, size, size] and lip masks [N, 1, size, size] of vertices under the frames' poses."""
        from dubbench.face3d import raster

        size = self.settings.size
        with part("maps"):
            posed = project(vertices, self.pose[numbers].to(self.device), size).cpu().numpy()
            maps = raster.pncc_maps(self._pncc, posed, self._triangles, size)
            lips = raster.lip_masks(posed[:, self._lips], size)
        return torch.from_numpy(maps).to(self.device), torch.from_numpy(lips).to(self.device)
