"""RealTalk's inference: speech and frames come in, dubbed frames leave, with bounded delay and memory."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dubbench.datamodules.batch import SAMPLES_PER_FRAME
from dubbench.errors import DubbenchError
from dubbench.face3d.model import LinearFaceModel
from dubbench.models.layers.overlap import Overlap
from dubbench.models.layers.pictures import casting, to_frames, to_pictures
from dubbench.models.parts import part
from dubbench.models.realtalk.networks import RealTalkStages, keep_mask, render_coefficients
from dubbench.models.realtalk.renderer import blend

Image = NDArray[np.uint8]

DRAWN_AT_ONCE = 4  # frames in one batch of the renderer, at most


@dataclass(frozen=True)
class StreamSettings:
    """How frames are dubbed.

    Attributes:
        size: side of the frames.
        frames: T of the audio-to-expression transformer.
        learnable: the mask of eq. 5; False masks the lower half.
        precision: of autocast, or None.
        compile: backend of torch.compile for the renderer, or whether to compile it.
    """

    size: int
    frames: int
    learnable: bool = True
    precision: torch.dtype | None = None
    compile: bool | str = False


class Speaker(NamedTuple):
    """Who is dubbed: identity picture, uint8 [size, size, 3]; shape [S]; historical expressions [N, E]."""

    picture: Image
    shape: Tensor
    history: Tensor


class Target(NamedTuple):
    """A frame to be dubbed: aligned picture, uint8 [size, size, 3]; its pose [6]."""

    picture: Image
    pose: Tensor


class DubbingStream:
    """One clip being dubbed as it comes in.

    A frame leaves when the speech of the next 1.5 T frames has come at the latest (T = 16: under a second). What is
    held is the speech and the frames of that stretch, however long the clip becomes, and what has come of one without
    the other: silence, too, must be pushed. What the identity's picture, shape and history give is computed once. The
    frames do not depend on how the input is cut into pieces.
    """

    @torch.inference_mode()
    def __init__(
        self, stages: RealTalkStages, face: LinearFaceModel, speaker: Speaker, settings: StreamSettings, start: int = 0
    ) -> None:
        """Encode the speaker.

        Args:
            stages: trained networks in eval mode; the renderer's memory format becomes channels last.
            face: their face model.
            speaker: who is dubbed.
            settings: how.
            start: first frame that leaves; those before are heard but not drawn, but for some that share its batch.
        """
        self.stages, self.face, self.settings = stages, face, settings
        self.device = face.mean.device
        stages.renderer.to(memory_format=torch.channels_last)
        self._draw_frames = stages.renderer.draw
        if settings.compile:
            backend = "inductor" if settings.compile is True else settings.compile
            self._draw_frames = torch.compile(stages.renderer.draw, backend=backend)
        self._overlap = Overlap(settings.frames)
        self._speech = np.zeros(0, np.float32)  # from frame `_spoken_from` on
        self._spoken_from = self._next = self._seen = 0
        self._hidden = start  # frames that have not come by yet and do not leave
        self._targets: deque[Target] = deque()
        self._expressions: list[Tensor] = []
        self._sizes = stages.expression.shapes, stages.expression.expressions
        self._speaker_shape = speaker.shape.to(self.device)[None]
        self._history = speaker.history.to(self.device)[None]
        self._check(speaker.picture)
        with part("renderer"), casting(self.device, self.settings.precision):
            self._reference = stages.renderer.encode_reference(to_pictures(speaker.picture[None], self.device))

    def push(self, speech: NDArray[np.float32], targets: list[Target]) -> list[Image]:
        """Take what has come in and give the frames that are ready.

        Args:
            speech: float32 [n] at 16 kHz; goes on where the last piece ended.
            targets: the next frames.

        Returns:
            uint8 [size, size, 3] RGB each, in order.

        Raises:
            DubbenchError: if a frame has another size.
        """
        for target in targets:
            self._check(target.picture)
        self._speech = np.concatenate([self._speech, speech])
        self._targets.extend(targets)
        self._seen += len(targets)
        while self._next + self.settings.frames <= min(self._seen, self._heard()):
            self._hear(self._next)
            self._next += self._overlap.hop
        return list(self._ready())

    def finish(self) -> list[Image]:
        """Give all frames that are left; silence follows where the speech was shorter than the video."""
        if not self._seen:
            return []
        window = self.settings.frames
        images: list[Image] = []
        lacking = (max(self._seen, window) - self._spoken_from) * SAMPLES_PER_FRAME - len(self._speech)
        self._speech = np.pad(self._speech, (0, max(lacking, 0)))
        last = max(self._seen - window, 0)
        for start in range(self._next, last + self._overlap.hop, self._overlap.hop):
            self._hear(min(start, last))
            images += self._ready()
        self._expressions.append(self._overlap.rest())
        return images + list(self._ready())

    def _check(self, picture: Image) -> None:
        size = self.settings.size
        if picture.shape != (size, size, 3):
            raise DubbenchError(f"a frame of shape {list(picture.shape)} came; give {[size, size, 3]}")

    def _heard(self) -> int:
        """Up to which frame the speech has come."""
        return self._spoken_from + len(self._speech) // SAMPLES_PER_FRAME

    @torch.inference_mode()
    def _hear(self, start: int) -> None:
        """Turn the window of speech that begins at a frame into expressions."""
        begin = (start - self._spoken_from) * SAMPLES_PER_FRAME
        waveform = torch.from_numpy(self._speech[begin : begin + self.settings.frames * SAMPLES_PER_FRAME])
        with part("audio to expression"), casting(self.device, self.settings.precision):
            made = self.stages.expression(waveform.to(self.device)[None], self._speaker_shape, self._history)[0]
        done = self._overlap.add(start, made.float()[: max(self._seen - start, 0)])
        if len(done):
            self._expressions.append(done)
        # The last window may begin anywhere after this one, and none before it.
        self._speech, self._spoken_from = self._speech[begin:], start

    def _ready(self) -> Iterator[Image]:
        """Draw all frames whose expression is known."""
        known, self._expressions = self._expressions, []
        for expressions in known:
            # Never across windows: a batch of another size rounds otherwise, and how input is cut would be seen.
            for piece in torch.split(expressions, DRAWN_AT_ONCE):
                targets, hidden = [self._targets.popleft() for _ in piece], self._hidden
                self._hidden = max(hidden - len(piece), 0)
                if hidden < len(piece):
                    yield from self._draw(targets, piece)[hidden:]

    @torch.inference_mode()
    def _draw(self, targets: list[Target], expression: Tensor) -> Image:
        settings = self.settings
        source = to_pictures(np.stack([target.picture for target in targets]), self.device)
        pose = torch.stack([target.pose for target in targets]).to(self.device, torch.float32)
        shape = self._speaker_shape.expand(len(targets), -1)
        mask = keep_mask(self.face, shape, expression, pose, size=settings.size, learnable=settings.learnable)
        coefficients = render_coefficients(shape, expression, pose, self._sizes)
        with part("renderer"), casting(self.device, self.settings.precision):
            drawn = self._draw_frames(source * mask, self._reference, coefficients)
        return to_frames(blend(source, drawn.float(), mask))
