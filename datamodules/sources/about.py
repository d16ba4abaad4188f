"""What a corpus is, as data: shown by ``dubbench corpus`` and checked by it against a folder."""

from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """Facts of a corpus, as its authors print them.

    Attributes:
        title: its name.
        paper: where it was published.
        obtain: what the user must get, from where, and what to do with it.
        licence: terms of use.
        size: clips, speakers and hours.
        fps: frame rates that its videos have, in Hz; empty where they differ from video to video.
        frames: (width, height) in pixels that its videos have; empty where they differ.
        crop: what a picture shows.
        speech: where the speech is: in the videos, beside them, or nowhere.
        speaker: what stands for an identity.
        split: how training, validation and test are told apart.
        labels: what comes beside the videos.
        label: suffix of the label file that every clip has beside it; empty for none.
        lists: files that the split needs, below the root or above it.
    """

    title: str
    paper: str
    obtain: str
    licence: str
    size: str
    fps: tuple[float, ...]
    frames: tuple[tuple[int, int], ...]
    crop: str
    speech: str
    speaker: str
    split: str
    labels: str = "none"
    label: str = ""
    lists: tuple[str, ...] = ()
