"""H.264 out: the one encoder of prepared clips and of results."""

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from dubbench.core.files import atomic
from dubbench.media import FPS, SAMPLE_RATE, MediaError
from dubbench.media.container import ACCURATE_RND, FULL_CHR_H_INP, Image, written

SMPTE170M = 6  # BT.601 in the numbering of ITU-T H.273
SUBSAMPLE = int(Interpolation.AREA) | ACCURATE_RND | FULL_CHR_H_INP
SPEECH_BITS = 96_000
# Without x264's macroblock tree: it reads memory that was never written, and made one file in thirty otherwise.
X264 = {"preset": "veryfast", "g": str(10 * FPS), "bf": "0", "mbtree": "0"}
# Intra coding is for training, where ultrafast halves the time of every decode and costs 15 % more bytes.
X264_INTRA = {**X264, "preset": "ultrafast", "g": "1"}


class VideoWriter:
    """H.264 (yuv420p, mp4) at 25 fps with optional speech, the same bytes for the same frames.

    Use as a context manager: the file appears under its name only when the block ends well. Colours are tagged BT.601,
    which readers that ignore tags assume too. H.264 with 4:2:0 needs even sides: an odd last row or column is repeated
    once in the file, so a reader that knows the true size cuts it off.

    Args:
        path: file to write, ending in .mp4.
        width: of the frames, in pixels.
        height: of the frames, in pixels.
        crf: constant rate factor of x264, 0 (lossless) to 51; 10 is visually lossless.
        intra: every frame decodes alone, as `IndexedVideo` needs.
        speech: float32 [S] in [-1, 1], 16 kHz mono, from the first frame on; what outlasts the frames is left out.
    """

    def __init__(
        self,
        path: Path | str,
        width: int,
        height: int,
        *,
        crf: int = 10,
        intra: bool = False,
        speech: NDArray[np.float32] | None = None,
    ) -> None:
        self.width, self.height = width, height
        self._path, self._crf, self._intra = Path(path), crf, intra
        self._speech = speech
        self._frames = self._samples = 0
        self._reformatter = VideoReformatter()

    def __enter__(self) -> "VideoWriter":
        self._stack = ExitStack()
        temporary = self._stack.enter_context(atomic(self._path))
        self._container = self._stack.enter_context(written(temporary, "mp4"))
        self._video = self._container.add_stream("libx264", rate=FPS)
        self._video.width, self._video.height = self.width + self.width % 2, self.height + self.height % 2
        self._video.pix_fmt = "yuv420p"
        context = self._video.codec_context
        context.color_range, context.colorspace = ColorRange.MPEG, SMPTE170M
        context.color_primaries, context.color_trc = SMPTE170M, SMPTE170M
        context.thread_count = 1
        context.options = {"crf": str(self._crf), **(X264_INTRA if self._intra else X264)}
        self._stack.push(self._flush)
        self._audio = self._container.add_stream("aac", rate=SAMPLE_RATE) if self._speech is not None else None
        if self._audio is not None:
            self._audio.layout = "mono"
            self._audio.bit_rate = SPEECH_BITS
        return self

    def write(self, rgb: Image) -> None:
        """Append one frame, uint8 [height, width, 3] RGB.

        Raises:
            MediaError: if its shape or type is another.
        """
        if rgb.shape != (self.height, self.width, 3) or rgb.dtype != np.uint8:
            raise MediaError(
                f"{self._path} takes uint8 frames [{self.height}, {self.width}, 3], not {rgb.dtype} {list(rgb.shape)}"
            )
        even = np.pad(rgb, ((0, self.height % 2), (0, self.width % 2), (0, 0)), "edge")
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        frame = self._reformatter.reformat(
            frame,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
            interpolation=SUBSAMPLE,
            threads=1,
        )
        frame.pts, frame.time_base = self._frames, Fraction(1, FPS)
        self._container.mux(self._video.encode(frame))
        self._frames += 1
        self._write_speech(self._frames * SAMPLE_RATE // FPS)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _write_speech(self, stop: int) -> None:
        """Encode speech up to sample ``stop``, so that the muxer never waits for one stream."""
        if self._audio is None or self._speech is None:
            return
        part = self._speech[self._samples : stop]
        if not len(part):
            return
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(part[None], np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, self._samples, Fraction(1, SAMPLE_RATE)
        self._container.mux(self._audio.encode(frame))
        self._samples += len(part)

    def _flush(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            return
        if not self._frames:
            raise MediaError(f"{self._path} was given no frame; write at least one")
        self._container.mux(self._video.encode(None))
        if self._audio is not None:
            self._container.mux(self._audio.encode(None))
