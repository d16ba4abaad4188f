"""Videos of a study: playable in browsers, and silent about who made them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av

from dubbench.core.files import atomic, no_room
from dubbench.errors import DubbenchError
from dubbench.media.audio import aligned_speech
from dubbench.media.container import opened, pixel_aspect, video_stream, written
from dubbench.media.orientation import Orientation
from dubbench.media.sound import heard
from dubbench.media.video import VideoWriter, probe, read_frames

# What an mp4 may hold so that every present-day browser plays it.
PICTURE_CODECS = frozenset({"h264", "vp9", "av1"})
PIXELS = frozenset({"yuv420p", "yuvj420p"})
SOUND_CODECS = frozenset({"aac", "mp3", "opus"})


def bare_copy(source: Path, target: Path) -> bool:
    """Write a video as mp4 without its metadata; packets are copied where browsers play them, else it is encoded again.

    Args:
        source: video with sound.
        target: file to write, ending in .mp4.

    Returns:
        Whether it was encoded again, visually lossless.

    Raises:
        DubbenchError: if it has no sound.
        MediaError: if it is unreadable.
    """
    info = probe(source)
    if not info.has_audio:
        raise DubbenchError(f"{source} has no sound, so nobody can judge its lips; add the speech that drives it")
    if not _playable(source):
        with VideoWriter(target, info.width, info.height, speech=aligned_speech(source)) as writer:
            for frame in read_frames(source):
                writer.write(frame)
        return True
    with opened(source) as container, atomic(target) as temporary, _blaming(target):
        picture, sound = video_stream(container), heard(source, container)
        with written(temporary, "mp4", {"movflags": "faststart", "fflags": "bitexact"}) as out:
            copies = {stream.index: out.add_stream_from_template(stream) for stream in (picture, sound)}
            for copy in copies.values():
                copy.metadata.clear()
            for packet in container.demux(picture, sound):
                if packet.dts is not None:
                    packet.stream = copies[packet.stream.index]
                    out.mux(packet)
    return False


@contextmanager
def _blaming(target: Path) -> Iterator[None]:
    """Tell a disk without room of the file that is written, not of the one that is read."""
    try:
        yield
    except av.FFmpegError as error:
        if no_room(error):
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise


def _playable(source: Path) -> bool:
    with opened(source) as container:
        picture = video_stream(container)
        frame = next(container.decode(picture), None)
        upright = frame is not None and Orientation.of(frame) == Orientation() and pixel_aspect(picture) == 1
        return (
            upright
            and picture.codec.canonical_name in PICTURE_CODECS
            and picture.codec_context.pix_fmt in PIXELS
            and heard(source, container).codec.canonical_name in SOUND_CODECS
        )
