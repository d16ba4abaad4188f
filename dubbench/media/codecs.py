"""Whether the FFmpeg libraries that PyAV carries can do what we ask of them, tried on a fifth of a second in memory."""

from collections.abc import Callable
from fractions import Fraction
from io import BytesIO
from typing import Any

FRAMES, SIDE, RATE = 5, 64, 16_000


def ffmpeg_libraries() -> tuple[str, dict[str, str]]:
    """Version of FFmpeg, and of each of its libraries by name.

    Raises:
        ImportError: if PyAV is not here or cannot load them.
    """
    import av

    versions = {name: ".".join(map(str, version)) for name, version in sorted(av.library_versions.items())}
    return str(getattr(av, "ffmpeg_version_info", "")), versions


def codec_faults() -> dict[str, str]:
    """Encode and decode H.264 and AAC; what went wrong, by codec.

    Raises:
        ImportError: as `ffmpeg_libraries` does.
    """
    faults: dict[str, str] = {}
    for name, attempt in (("H.264", _pictures), ("AAC", _sound)):
        try:
            faults |= {name: said} if (said := attempt()) else {}
        except Exception as error:  # whatever a library does that was built without something: it is what we look for
            faults[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    return faults


def _pictures() -> str:
    from av.video.frame import VideoFrame

    def frame(number: int) -> VideoFrame:
        picture = VideoFrame(SIDE, SIDE, "yuv420p")
        for plane, level in zip(picture.planes, (40 * number, 128, 128), strict=True):
            plane.update(bytes([level]) * plane.buffer_size)
        picture.pts, picture.time_base = number, Fraction(1, 25)
        return picture

    def encoder(container: Any) -> Any:  # noqa: ANN401
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        return stream

    levels = [bytes(frame.planes[0])[0] for frame in _there_and_back(encoder, frame, "video")]
    wanted = [40 * number for number in range(FRAMES)]
    close = len(levels) == FRAMES and all(abs(a - b) < 16 for a, b in zip(levels, wanted, strict=True))
    return "" if close else f"grey levels {wanted} came back as {levels}"


def _sound() -> str:
    from av.audio.frame import AudioFrame

    def frame(number: int) -> AudioFrame:
        block = AudioFrame(format="fltp", layout="mono", samples=1024)
        block.planes[0].update(bytes(block.planes[0].buffer_size))
        block.sample_rate, block.pts, block.time_base = RATE, 1024 * number, Fraction(1, RATE)
        return block

    def encoder(container: Any) -> Any:  # noqa: ANN401
        return container.add_stream("aac", rate=RATE, layout="mono")

    samples = sum(frame.samples for frame in _there_and_back(encoder, frame, "audio"))
    return "" if samples >= 1024 * FRAMES else f"{1024 * FRAMES} samples came back as {samples}"


def _there_and_back(encoder: Callable[[Any], Any], frame: Callable[[int], Any], kind: str) -> list[Any]:
    """What is decoded of encoded frames."""
    import av

    memory = BytesIO()
    with av.open(memory, "w", format="mp4") as container:
        stream = encoder(container)
        for number in range(FRAMES):
            container.mux(stream.encode(frame(number)))
        container.mux(stream.encode(None))
    memory.seek(0)
    with av.open(memory) as container:
        return list(container.decode(**{kind: 0}))
