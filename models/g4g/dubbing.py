"""G4G's inference over one clip: face crops out of aligned frames, drawn, and put back, as a stream."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from dubbench.datamodules.batch import Mel
from dubbench.datamodules.face_crops import face_crops
from dubbench.datamodules.mel import clip_windows
from dubbench.face.crops import FACE_SCALES, cut_faces, mouth_region, paste_face
from dubbench.models.base import faces_among
from dubbench.models.g4g.masks import face_mask, landmark_map
from dubbench.models.g4g.networks import REFERENCES, Generator, References
from dubbench.models.layers.pictures import casting, to_frames, to_pictures
from dubbench.models.parts import part

if TYPE_CHECKING:
    from dubbench.datamodules.clip import PreparedClip

DRAWN_AT_ONCE = 4
FADE = 16  # of the mouth region's side, at its border


class G4GDubbing:
    """One clip being dubbed; memory does not grow with its length but for its landmarks."""

    def __init__(
        self,
        generator: Generator,
        clip: "PreparedClip",
        speech: NDArray[np.float32],
        references: Sequence[int],
        *,
        mel: Mel,
        size: int,
        precision: torch.dtype | None,
    ) -> None:
        """Measure the clip's faces; the rest happens when frames are asked for.

        Args:
            generator: trained network in eval mode.
            clip: what is dubbed.
            speech: float32 at 16 kHz from the clip's first frame on.
            references: frames that may be looked at.
            mel: speech features.
            size: side of the aligned frames.
            precision: of autocast, or None.

        Raises:
            DubbenchError: if none of ``references`` shows a face.
        """
        self.generator, self.clip, self.speech, self.mel = generator, clip, speech, mel
        self.size, self.precision = size, precision
        self.device = next(generator.parameters()).device
        seen = faces_among(clip, references)
        self.references = seen[np.linspace(0, len(seen) - 1, REFERENCES).round().astype(np.int64)]
        crops = face_crops(clip, range(len(clip)), mouth=generator.mouth, scale=FACE_SCALES[0])
        # Crops are cut out of the prepared pixels, as in training, and put back into frames of the size asked for. A
        # method sees prepared clips alone, which are trained on and scored where no video is; so a crop is as fine as
        # the video where the clip's square is, and `dub` prepares its clip as large as ``size``.
        self.boxes, self.points, self.steady = crops.boxes, crops.points, crops.steady
        self.places = crops.boxes * (size / clip.info.size)
        self.mask = region_mask(generator.mouth)

    def frames(self, start: int = 0) -> Iterator[NDArray[np.uint8]]:
        """Yield the clip's frames from ``start`` on, uint8 [size, size, 3] RGB, in order."""
        references = self._encode()
        # Never other batches: they would round otherwise, and where it began would be seen.
        first = start - start % DRAWN_AT_ONCE
        stream = islice(self._sources(), first, None)
        while sources := list(islice(stream, DRAWN_AT_ONCE)):
            stop = first + len(sources)
            images = self._draw(references, np.stack([prepared for prepared, _ in sources]), first, stop)
            drawn = list(zip(sources, images, self.places[first:stop], strict=True))
            for (_, frame), image, place in drawn[max(start - first, 0) :]:
                yield paste_face(frame, image, place, self.mask)
            first = stop

    def _sources(self) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        """Each frame as it is prepared, which crops are cut from, and in the size that is given."""
        if self.size == self.clip.info.size:
            return ((frame, frame) for frame in self.clip.stream())
        return zip(self.clip.stream(), self.clip.stream(self.size), strict=True)

    @torch.inference_mode()
    def _encode(self) -> References:
        numbers = self.references.tolist()
        crops = cut_faces(self.clip.frames(numbers), self.boxes[numbers], self.generator.mouth)
        pictures = to_pictures(crops, self.device).flatten(0, 1)[None]
        points = torch.from_numpy(self.points[numbers[:1]]).to(self.device)
        with part("generator"), casting(self.device, self.precision):
            maps = landmark_map(points, self.generator.height, self.generator.width)
            return self.generator.encode_references(pictures, maps)

    @torch.inference_mode()
    def _draw(self, references: References, frames: NDArray[np.uint8], start: int, stop: int) -> NDArray[np.uint8]:
        crops = to_pictures(cut_faces(frames, self.boxes[start:stop], self.generator.mouth), self.device)
        with part("mel"):
            mel = clip_windows(self.speech, self.mel, start, stop).to(self.device)
        points = torch.from_numpy(self.steady[start:stop]).to(self.device)
        with part("generator"), casting(self.device, self.precision):
            images = self.generator(crops, references, mel, face_mask(points, self.generator.mouth)).image
        return to_frames(images)


def region_mask(mouth: int) -> NDArray[np.float32]:
    """Where a crop goes back into its frame: [H, W], the mouth region, fading over a sixteenth of it at its border.

    The blend network draws the whole crop (3.2), but only in the region is anything new; the rest is the source's own.
    """
    rows, columns = mouth_region(mouth)
    ramp = (np.arange(mouth, dtype=np.float32) + 0.5) / mouth
    ramp = np.clip(FADE * np.minimum(ramp, 1 - ramp), 0, 1)
    mask = np.zeros((mouth * 13 // 8, mouth * 10 // 8), np.float32)
    mask[rows, columns] = np.outer(ramp, ramp)
    return mask
