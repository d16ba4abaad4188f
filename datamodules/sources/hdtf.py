"""HDTF (Zhang et al. 2021): ``<name>_<counter>.mp4``, flat or in sub-folders."""

import re
from collections.abc import Iterator
from pathlib import Path

from dubbench.datamodules.sources import RawClip, ending
from dubbench.datamodules.sources.about import About

LAYOUT = "<name>_<counter>.mp4, for instance WDA_KatieHill_000.mp4"
ABOUT = About(
    title="HDTF",
    paper="Zhang et al., Flow-guided One-shot Talking Face Generation with a High-resolution Audio-visual Dataset, "
    "CVPR 2021",
    obtain="The lists of github.com/MRzzm/HDTF name YouTube videos, intervals and crops: fetch the videos with sound "
    "(its download.py takes the picture only; ask youtube-dl for bestvideo+bestaudio), cut them by "
    "*_annotion_time.txt and crop by *_crop_wh.txt to <list>_<video>_<interval>.mp4, counted from 000 as "
    "download.py does. Some videos are no longer on YouTube.",
    licence="lists CC BY 4.0; the videos stay their owners'",
    size="436 clips of 369 videos, 275 speakers, about 17 hours",
    fps=(),
    frames=(),
    crop="square around the head, 512 x 512 where it was resized as the authors advise",
    speech="in the videos",
    speaker="the video's name without its number in WDA and WRA; every video for itself in RD, whose names are none",
    split="configs/split/hdtf.csv, whole speakers",
    labels="intervals, crops and resolutions in the lists; not needed any more",
)
SAME_PERSON = {"WDA_WhipJimClyburn": "WDA_JamesClyburn"}
"""Names that differ by more than a number."""


def find(root: Path) -> Iterator[RawClip]:
    """Yield the clips below ``root``; whole videos, which have no counter, are none."""
    for path, match in ending(root, r"(?P<name>[^/]+(?:_\d+)+)"):
        yield RawClip(match["name"], speaker(match["name"]), path)


def speaker(clip: str) -> str:
    """``WDA_BarbaraLee1_000`` is a clip of ``WDA_BarbaraLee``; ``RD_Radio1_000`` of ``RD_Radio1`` and nobody else."""
    video = re.sub(r"(_\d+)+$", "", clip)
    if not video.startswith("RD_"):
        video = re.sub(r"(?<=\D)\d+$", "", video)
    return SAME_PERSON.get(video, video)
