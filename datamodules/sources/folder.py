"""Any folder of videos: a sub-folder of the top is a speaker, a file at the top is a speaker of its own."""

from collections.abc import Iterator
from pathlib import Path

from dubbench.datamodules.sources import RawClip, without_suffix
from dubbench.datamodules.sources.about import About
from dubbench.datamodules.tree import videos

LAYOUT = "<speaker>/.../<video> or <video>, with a suffix such as .mp4, .mkv, .mov, .avi, .webm"
ABOUT = About(
    title="any folder of videos",
    paper="yours",
    obtain="Put the videos of a speaker into a folder of their own.",
    licence="yours",
    size="any",
    fps=(),
    frames=(),
    crop="any; one face, or --faces largest",
    speech="in the videos",
    speaker="the sub-folder of the top; a video at the top is a speaker of its own",
    split="by the hash of the speaker, or a file given with --split",
)


def find(root: Path) -> Iterator[RawClip]:
    """Yield every video below ``root``."""
    for path in videos(root):
        parts = path.relative_to(root).parts
        yield RawClip(without_suffix(path, root), parts[0] if len(parts) > 1 else path.stem, path)
