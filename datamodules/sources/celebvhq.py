"""CelebV-HQ (Zhu et al. 2022): ``<YouTube id>_<n>.mp4`` or ``<YouTube id>_<n>_<m>.mp4``."""

from collections.abc import Iterator
from pathlib import Path

from dubbench.datamodules.sources import RawClip, ending
from dubbench.datamodules.sources.about import About

LAYOUT = "<YouTube id of 11 characters>_<n>.mp4 or <YouTube id>_<n>_<m>.mp4, as celebvhq_info.json names its clips"
ABOUT = About(
    title="CelebV-HQ",
    paper="Zhu et al., CelebV-HQ: A Large-Scale Video Facial Attributes Dataset, ECCV 2022",
    obtain="github.com/CelebV-HQ/CelebV-HQ has celebvhq_info.json and the scripts that fetch each YouTube video with "
    "sound, cut and crop it; copies that others pass on have clips without sound. Many videos are gone.",
    licence="non-commercial research only, not passed on; the videos stay their owners'",
    size="35,666 clips of 3 to 20 s, 15,653 identities, about 68 hours",
    fps=(),
    frames=(),
    crop="square around head and shoulders, 512 x 512 or more, at the video's own size",
    speech="in the videos, where the person speaks at all and the sound was fetched",
    speaker="the YouTube video: which of the identities a clip shows is not given",
    split="by the hash of the YouTube video; the corpus gives none",
    labels="celebvhq_info.json: 83 attributes, emotion, box and times of every clip; not needed",
)


def find(root: Path) -> Iterator[RawClip]:
    """Yield the clips below ``root``; whole videos, named by the YouTube id alone, are none."""
    for path, match in ending(root, r"(?P<clip>(?P<video>[\w-]{11})_\d+(?:_\d+)?)"):
        yield RawClip(match["clip"], match["video"], path)
