"""LRW (Chung and Zisserman 2016): ``<WORD>/<train|val|test>/<WORD>_<number>.mp4`` with a ``.txt`` beside each."""

from collections.abc import Iterator
from pathlib import Path

from dubbench.datamodules.sources import RawClip, ending
from dubbench.datamodules.sources.about import About

LAYOUT = "lipread_mp4/<WORD>/<train, val or test>/<WORD>_<number>.mp4 with <WORD>_<number>.txt beside it"
ABOUT = About(
    title="LRW (Lip Reading in the Wild)",
    paper="Chung and Zisserman, Lip Reading in the Wild, ACCV 2016",
    obtain="Sign the BBC's agreement at www.robots.ox.ac.uk/~vgg/data/lip_reading/lrw1.html, fetch the parts "
    "lrw-v1-part*, join them (cat lrw-v1-parta* > lrw-v1.tar) and unpack.",
    licence="BBC agreement: academic research only, not passed on",
    size="500 words, at most 1,000 + 50 + 50 clips each (539 thousand in all), about 173 hours",
    fps=(25.0,),
    frames=((256, 256),),
    crop="square around the head, 29 frames (1.16 s) with the word in the middle",
    speech="in the videos",
    speaker="not given: every clip stands for itself",
    split="the corpus' own folders train, val and test, which are apart by the date of broadcast",
    labels="a .txt a clip, whose line 'Duration:' says how long the word in the middle is",
    label=".txt",
)


def find(root: Path) -> Iterator[RawClip]:
    """Yield the words below ``root``."""
    for path, match in ending(root, r"(?P<clip>(?P<word>[A-Z]+)/(?P<part>train|val|test)/(?P=word)_\d+)"):
        yield RawClip(match["clip"], match["clip"], path, official=match["part"])
