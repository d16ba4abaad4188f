"""GRID audiovisual sentences (Cooke et al. 2006): ``<speaker>/<sentence>.mpg``.

The corpus' own archives unpack to ``s1/bbaf2n.mpg`` or to ``s1/video/mpg_6000/bbaf2n.mpg``; both give the clip
``s1/bbaf2n``, the name that published splits use.
"""

from collections.abc import Iterator
from pathlib import Path

from dubbench.datamodules.sources import RawClip, ending
from dubbench.datamodules.sources.about import About

LAYOUT = "<speaker>/<sentence>.mpg"
ABOUT = About(
    title="GRID",
    paper="Cooke et al., An audio-visual corpus for speech perception and automatic speech recognition, JASA 2006",
    obtain="zenodo.org/records/3625687 has a video archive a speaker (s1.zip to s34.zip, no video of s21); unpack them "
    "side by side.",
    licence="CC BY 4.0",
    size="33,000 sentences of 3 s, 33 speakers with video, 27.5 hours",
    fps=(25.0,),
    frames=((360, 288), (720, 576)),
    crop="head and shoulders in a studio, uncropped",
    speech="in the videos",
    speaker="the folder",
    split="configs/split/grid.csv: s1 by clip, all others by the hash of the speaker",
    labels="word alignments (.align) in archives of their own; not needed",
)


SENTENCE = r"[blps][bgrw][abiw][a-z][z1-9][anps]"
"""Command, colour, preposition, letter, digit, adverb, by their first letters."""


def find(root: Path) -> Iterator[RawClip]:
    """Yield the sentences below ``root``; videos that are named otherwise are no clips."""
    for path, match in ending(root, rf"(?P<speaker>[^/]+)/(?:video/)?(?:mpg_[^/]+/)?(?P<sentence>{SENTENCE})"):
        yield RawClip(f"{match['speaker']}/{match['sentence']}", match["speaker"], path)
