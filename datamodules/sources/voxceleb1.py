"""VoxCeleb1 (Nagrani et al. 2017): ``<speaker>/<video>/<utterance>.mp4`` or ``<speaker>#<video>#<from>#<to>.mp4``."""

import re
from collections.abc import Iterator
from pathlib import Path

from dubbench.datamodules.sources import RawClip, ending
from dubbench.datamodules.sources.about import About
from dubbench.datamodules.splits import by_hash

LAYOUT = (
    "<id10001 or Name_Surname>/<YouTube id>/<utterance>.mp4, with a folder 1.6 before the YouTube id or none, or "
    "<speaker>#<YouTube id>#<first>#<last>.mp4"
)
ABOUT = About(
    title="VoxCeleb1",
    paper="Nagrani et al., VoxCeleb: a large-scale speaker identification dataset, Interspeech 2017",
    obtain="mm.kaist.ac.kr/datasets/voxceleb hands out the sound and, in vox1_*_txt.zip, the face boxes; no video was "
    "ever released. Fetch the YouTube videos with sound and crop them by the boxes; "
    "github.com/AliaksandrSiarohin/video-preprocessing does so at 256 x 256, but writes pictures without sound, which "
    "must be added from the video between the same frames.",
    licence="metadata CC BY 4.0; the videos stay their owners'",
    size="153,516 utterances of 1,251 speakers in 22,496 videos, 352 hours",
    fps=(),
    frames=(),
    crop="as the user makes it, 256 x 256 by custom",
    speech="in the videos that the user makes",
    speaker="the corpus' id or name",
    split="test is the corpus' own (40 speakers: id10270 to id10309, the names in E); a tenth of the others by hash is "
    "val and the rest train",
    labels="face boxes in txt files; not needed any more",
)
TEST = range(10270, 10310)


def find(root: Path) -> Iterator[RawClip]:
    """Yield the utterances below ``root``; an id folder and a crop by frames name their clip in the same manner."""
    video = r"(?P<video>[\w-]{11})"
    utterances = rf"(?P<speaker>[^/#]+)/(?:1\.6/)?{video}/(?P<utterance>\d+)"
    crops = r"(?P<crop_speaker>[^/#]+)#(?P<crop_video>[\w-]{11})#(?P<first>\d+)#(?P<last>\d+)"
    for path, match in ending(root, rf"(?:{utterances}|{crops})"):
        speaker = match["speaker"] or match["crop_speaker"]
        utterance = match["utterance"] or f"{match['first']}-{match['last']}"
        clip = f"{speaker}/{match['video'] or match['crop_video']}/{utterance}"
        yield RawClip(clip, speaker, path, official=official(speaker))


def official(speaker: str) -> str:
    """The corpus' own test speakers; of the others, those whose hash says ``val``."""
    number = re.fullmatch(r"id(\d{5})", speaker)
    if int(number[1]) in TEST if number else speaker.startswith("E"):
        return "test"
    return "val" if by_hash(speaker) == "val" else "train"
