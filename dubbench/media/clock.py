"""One clock for a file's pictures and sound: what its time stamps mean, and where they jump.

Two kinds of files need it. Streams that carry decode times only (AVI of every sort, its copies in matroska) say when a
picture goes into the decoder, not when it is shown. And files whose clocks jump: recordings joined end to end, where
pictures and sound begin anew together, and damaged or badly made ones, where one of them jumps alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame

from dubbench.media import FPS, MediaError
from dubbench.media.container import UNGUESSED, has_pictures, opened, sound_streams, video_stream
from dubbench.media.jumps import ANEW, JUMP, LONGEST_GAP, Run, Shift, on_one_clock
from dubbench.media.limits import ESTIMATED, check_length

__all__ = ["LONGEST_GAP", "Clock", "clock_of"]

PACKETS = 16  # that tell whether a stream has presentation times
LONGEST_PACKET = Fraction(1)  # seconds, of one that does not say how long it is
TRIED = 64  # packets of a track in which some sound must decode


@dataclass(frozen=True)
class Clock:
    """What a look at all packets of a file says of its time stamps.

    Attributes:
        decode_times: whether pictures carry decode times only.
        sound: index of the audio stream that is heard; None where there is none that can be decoded.
        shifts: by stream index, what is added to time stamps from which packet on.
        told: a sentence for each kind of jump.
        reached: when the last packet of all ends, in seconds, by the file's own clock.
    """

    decode_times: bool = False
    sound: int | None = None
    shifts: dict[int, tuple[Shift, ...]] = field(default_factory=dict)
    told: tuple[str, ...] = ()
    reached: Fraction = Fraction(0)

    def packets(self, container: InputContainer, index: int) -> Iterator["Packet[Any]"]:
        """All packets of a stream on one clock, with an empty one at the end."""
        coming = list(self.shifts.get(index, ()))
        shift = Fraction(0)
        for number, packet in enumerate(container.demux(container.streams[index])):
            while coming and coming[0].packet <= number:
                shift = coming.pop(0).seconds
            if shift:
                ticks = round(shift / Fraction(packet.time_base))
                packet.pts = None if packet.pts is None else packet.pts + ticks
                packet.dts = None if packet.dts is None else packet.dts + ticks
            yield packet

    def shown(self) -> Callable[["Packet[Any]", VideoFrame], Fraction | None]:
        """How to tell when a frame is shown, in seconds, from the first packet that was decoded and the frame.

        It gives None where the file does not say. Decoders give frames in the order of presentation. Where packets
        carry decode times only, a frame is shown at that of the packet that brought it out, less the decoder's delay:
        the first frame at the first packet's time.
        """
        if not self.decode_times:
            return lambda _, frame: seconds(frame.pts, frame)
        delay: list[Fraction] = []

        def time(first: "Packet[Any]", frame: VideoFrame) -> Fraction | None:
            out = seconds(frame.dts, frame)
            if out is None:
                return None
            if not delay:
                began = seconds(first.dts, first)
                delay.append(Fraction(0) if began is None else out - began)
            return out - delay[0]

        return time


def seconds(ticks: int | None, of: "VideoFrame | AudioFrame | Packet[Any]") -> Fraction | None:
    """A time stamp of a frame or packet in seconds, exact, or None where there is none."""
    return None if ticks is None or of.time_base is None else ticks * Fraction(of.time_base)


def clock_of(path: Path | str) -> Clock:
    """Look at all packets of a file, without decoding; remembered until the file changes.

    Raises:
        MediaError: if it is unreadable, or longer than is taken.
    """
    path = Path(path)
    if not path.is_file():
        raise MediaError(f"{path} is not a file; check the path")
    about = path.stat()
    return _looked_at(path, (path.absolute(), about.st_size, about.st_mtime_ns, about.st_ino))


@lru_cache(maxsize=64)
def _looked_at(path: Path, _: tuple[object, ...]) -> Clock:
    with opened(path) as container:
        video = video_stream(container).index if has_pictures(container) else None
        estimated = container.format.name in ESTIMATED
        sound = _heard(container, path)
        runs, reached = _runs(container, video, sound)
    pictures = [] if video is None else runs[video]
    shifts, told = on_one_clock(pictures, [] if sound is None else runs[sound], anew=estimated)
    if estimated and pictures:
        check_length(sum((run.end - run.start for run in pictures), Fraction(0)), str(path))
    return Clock(
        decode_times=video is not None and _decode_times_only(path, video),
        sound=sound,
        shifts={index: tuple(by) for index, by in zip((video, sound), shifts, strict=True) if index is not None and by},
        told=tuple(told),
        reached=reached,
    )


def _runs(container: InputContainer, video: int | None, sound: int | None) -> tuple[dict[int, list[Run]], Fraction]:
    """Where the time stamps of both streams run on and where they do not, and when the last packet of any ends."""
    found: dict[int, list[Run]] = {index: [] for index in (video, sound) if index is not None}
    counts = dict.fromkeys(found, 0)
    lengths = dict.fromkeys(found, Fraction(1, FPS))
    sizes = dict.fromkeys(found, 0)
    guessed: set[int] = set()
    reached = Fraction(0)
    for packet in container.demux():
        index = packet.stream.index
        if packet.pts is not None:
            reached = max(reached, (packet.pts + (packet.duration or 0)) * Fraction(packet.time_base))
        if index not in found:
            continue
        stamp = packet.dts if packet.pts is None or (index == video and packet.dts is not None) else packet.pts
        time, runs = seconds(stamp, packet), found[index]
        if time is not None:
            if index in guessed:
                runs[-1].end = max(runs[-1].end, min(time, runs[-1].end + LONGEST_PACKET))
            (guessed.discard if packet.duration else guessed.add)(index)
            length = seconds(packet.duration or None, packet) or lengths[index]
            # Where a clock jumps forwards, formats that store lengths stretch the packet before.
            stretched = length * sizes[index] > 2 * lengths[index] * packet.size
            if not (stretched and length > lengths[index] + (ANEW if index == video else JUMP)):
                lengths[index], sizes[index] = length, packet.size if packet.duration else 0
            if not runs or runs[-1].broken_by(time, pictures=index == video):
                runs.append(Run(counts[index], time, time + lengths[index]))
            else:
                runs[-1].end = max(time + lengths[index], runs[-1].end)
        counts[index] += 1
    return found, reached


def _decode_times_only(path: Path, video: int) -> bool:
    """Whether packets say when they are decoded and never when they are shown, before FFmpeg guesses."""
    with opened(path, UNGUESSED) as container:
        packets = [p for p in islice(container.demux(container.streams[video]), PACKETS) if p.size]
    return any(p.dts is not None for p in packets) and all(p.pts is None for p in packets)


def _heard(container: InputContainer, path: Path) -> int | None:
    """The default track, else the first that decodes."""
    try:
        tracks = [track.index for track in sound_streams(container)]
    except MediaError:
        return None
    return next((index for index in tracks if len(tracks) == 1 or _decodes(path, index)), tracks[0])


def _decodes(path: Path, index: int) -> bool:
    with opened(path) as container:
        for packet in islice(container.demux(container.streams[index]), TRIED):
            try:
                if packet.decode():
                    return True
            except av.FFmpegError:
                continue
    return False
