"""Opening a media file, and the streams of it that count: what all reading and writing shares.

Nothing but plain files is opened: no address, playlist, pattern or device, whatever a file or its content is called. No
verb of dubbench takes an address where it takes a video or sound.
"""

import errno
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import Container, InputContainer, OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from dubbench.media import MediaError
from dubbench.media.limits import ASPECT, PIXELS, check_declared
from dubbench.media.orientation import Orientation

Image = NDArray[np.uint8]

# swscale's flags, which PyAV names from 18 on only; Python 3.10 has 17.
ACCURATE_RND, FULL_CHR_H_INP, FULL_CHR_H_INT = 1 << 18, 1 << 14, 1 << 13
# Without these swscale truncates: a grey level darker a generation. FULL_CHR_H_INT needs ACCURATE_RND to take effect.
EXACT = ACCURATE_RND | FULL_CHR_H_INT

# FFmpeg takes what stands before a colon for a protocol; a name that has one already is a path, whatever follows.
PROTOCOL = "file:"
# Demuxers that read one file and nothing that it names: no playlists (hls, dash, concat, sdp), no patterns (image2).
FORMATS = (
    "3g2,3gp,3dostr,aac,ac3,aiff,amr,amrnb,amrwb,ape,apng,asf,au,av1,avi,caf,cavsvideo,dirac,dnxhd,dts,dtshd,dv,eac3,evc,"
    "flac,flv,gif,gxf,h261,h263,h264,hevc,ivf,ivr,live_flv,loas,m4a,m4v,matroska,mj2,mjpeg,mlp,mov,mp3,mp4,mpc,mpc8,mpeg,"
    "mpegts,mpegvideo,mxf,nistsphere,nsv,nut,nuv,obu,ogg,oma,rm,roq,smk,sox,spdif,swf,tak,truehd,tta,vc1,vc1test,voc,vvc,"
    "w64,wav,webm,wsaud,wtv,wv,yuv4mpegpipe"
)
# Decoders are told of the limit too: what they find within may be larger than what the headers declare.
DECODING = {"max_pixels": str(PIXELS)}
READING = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
# Packets with the time stamps of the file alone, none that FFmpeg infers; its default flags bring them back.
UNGUESSED = {"fflags": "nofillin"}
# Encoders leave shares such as 1279:1280 where they scaled to whole pixels.
NEARLY_SQUARE = Fraction(1, 100)


def address(path: Path | str) -> str:
    """A path as FFmpeg takes it, for reading or writing: colons, percent signs and dashes in it mean nothing."""
    return f"{PROTOCOL}{path}"


def name_of(container: Container) -> str:
    """The path of an open file, for sentences."""
    return container.name.removeprefix(PROTOCOL)


@contextmanager
def written(path: Path, form: str, options: Mapping[str, str] | None = None) -> Iterator[OutputContainer]:
    """Open a media file for writing.

    Args:
        path: of the file, whatever its name.
        form: name of FFmpeg's muxer.
        options: of the muxer.
    """
    with av.open(address(path), "w", format=form, options=dict(options or {})) as container:
        yield container


@contextmanager
def opened(path: Path | str, options: Mapping[str, str] | None = None) -> Iterator[InputContainer]:
    """Open a media file for reading; whatever FFmpeg objects to inside the block becomes one sentence.

    Args:
        path: of the file.
        options: of the demuxer, beside `READING`.

    Raises:
        MediaError: if the file is absent, empty, no media file, declares what is beyond reason, or breaks off while
            it is read.
    """
    path = Path(path)
    if not path.is_file():
        raise MediaError(f"{path} is not a file; check the path")
    if path.stat().st_size == 0:
        raise MediaError(f"{path} is empty (0 bytes); fetch or make it again")
    try:
        container = _read(path, options)
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if error.errno == errno.EINVAL:
            reason = "its format is not among those that are read, as playlists and single pictures are not"
        raise MediaError(
            f"{path} is not a media file or is truncated ({reason}); check that it plays, or fetch it again"
        ) from error
    try:
        check_declared(container, str(path))
        _check_index(container, path)
        yield container
    except av.FFmpegError as error:
        raise MediaError(
            f"{path} is truncated or damaged ({error.strerror}); fetch it again or re-encode it"
        ) from error
    finally:
        container.close()


def _read(path: Path | str, options: Mapping[str, str] | None = None) -> InputContainer:
    """Open a file as a file alone; texts in it need not be UTF-8."""
    return av.open(address(path), metadata_errors="replace", options={**READING, **(options or {})})


def _check_index(container: InputContainer, path: Path) -> None:
    """A cut mp4 whose header came first opens well; its index then points past the end."""
    size = path.stat().st_size
    for stream in container.streams:
        entries = stream.index_entries
        if len(entries) and (last := entries[len(entries) - 1]).pos + last.size > size:
            raise MediaError(f"{path} is truncated, its index points past its end; fetch it again")


def video_stream(container: InputContainer) -> VideoStream:
    """The stream that shows moving pictures; cover art does not count.

    Raises:
        MediaError: if there is none, or none here can decode it.
    """
    streams = _moving(container)
    if not streams:
        raise MediaError(f"{name_of(container)} has no video stream; give a file with moving pictures")
    best = container.streams.best("video")
    stream = next((s for s in streams if best is not None and s.index == best.index), streams[0])
    if stream.codec_context is None:
        raise MediaError(
            f"{name_of(container)} has pictures in {_codec_of(container, stream.index)}, which cannot be decoded here; "
            "convert them to H.264"
        )
    stream.codec_context.options = dict(DECODING)
    return stream


def has_pictures(container: InputContainer) -> bool:
    """Whether a file shows moving pictures; cover art does not count."""
    return bool(_moving(container))


def _moving(container: InputContainer) -> list[VideoStream]:
    return [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]


def sound_streams(container: InputContainer) -> list[AudioStream]:
    """The audio tracks that can be decoded here, the default one first, then in the order of the file.

    Raises:
        MediaError: if there is no audio track, or none that can be decoded: then it names their codecs.
    """
    tracks = list(container.streams.audio)
    if not tracks:
        raise MediaError(f"{name_of(container)} has no audio track; give a file with sound")
    known = [track for track in tracks if track.codec_context is not None]
    if not known:
        codecs = " and ".join(dict.fromkeys(_codec_of(container, track.index) for track in tracks))
        raise MediaError(
            f"{name_of(container)} has sound in {codecs}, which cannot be decoded here; convert it to AAC or WAV"
        )
    return sorted(known, key=lambda track: not track.disposition & track.disposition.default)


def _codec_of(container: InputContainer, index: int) -> str:
    """The codec of a stream that has no decoder: PyAV does not name it, FFmpeg's messages while opening do."""
    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.WARNING)
    av.logging.set_skip_repeated(v=False)  # it was said when the file was opened first
    try:
        with av.logging.Capture(local=False) as logs, _read(name_of(container)):
            told = "".join(message for _, _, message in logs)
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips)
    found = re.search(rf"stream {index} \(\w+: (?:none \()?([^,()/]+)", told)
    return f"the codec {found[1].strip()!r}" if found else "a codec of its own"


def pixel_aspect(stream: VideoStream) -> Fraction:
    """Width to height of a stream's pixels; 1 where it does not say, or as good as says so.

    Raises:
        MediaError: if it is beyond reason.
    """
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    if aspect <= 0 or abs(aspect - 1) < NEARLY_SQUARE:
        return Fraction(1)
    if not 1 / ASPECT <= aspect <= ASPECT:
        raise MediaError(
            f"{name_of(stream.container)} has pixels of {aspect.numerator}:{aspect.denominator}; at most {ASPECT}:1 "
            "are taken, correct its aspect ratio"
        )
    return aspect


class Picture:
    """Decoded frames to upright RGB of square pixels.

    Kept over a stream, since setting up the conversion costs more than doing it.
    """

    def __init__(self, aspect: Fraction = Fraction(1)) -> None:
        """Take the `pixel_aspect` of the frames."""
        self._reformatter, self._aspect = VideoReformatter(), aspect

    @classmethod
    def of(cls, path: Path | str) -> "Picture":
        """For the frames of a file; raises `MediaError` if it is no readable video."""
        with opened(path) as container:
            return cls(pixel_aspect(video_stream(container)))

    def rgb(self, frame: VideoFrame, width: int | None = None, height: int | None = None) -> Image:
        """Convert one frame, scaling on the way.

        Args:
            frame: as decoded; its colour tags are followed, BT.601 where there are none.
            width: to scale to, before turning upright, or None for the frame's own, stretched where pixels are wide.
            height: as width, where its pixels are tall.

        Returns:
            uint8 [H, W, 3] RGB.
        """
        width = width or round(frame.width * max(self._aspect, Fraction(1)))
        height = height or round(frame.height / min(self._aspect, Fraction(1)))
        shrinks = width * height < frame.width * frame.height
        enlarges = width * height > frame.width * frame.height
        method = Interpolation.AREA if shrinks else Interpolation.BICUBIC if enlarges else Interpolation.BILINEAR
        scaled = self._reformatter.reformat(
            frame, width, height, format="rgb24", interpolation=int(method) | EXACT, threads=1
        )
        image = np.asarray(scaled.to_ndarray(), np.uint8)
        return np.ascontiguousarray(Orientation.of(frame).apply(image))
