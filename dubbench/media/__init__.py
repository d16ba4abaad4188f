"""Video and audio in and out: nothing else opens a media file."""

from dubbench.errors import DubbenchError

FPS = 25
SAMPLE_RATE = 16_000
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS


class MediaError(DubbenchError):
    """A media file that cannot be used, with the reason and the way out."""
