"""VoxCeleb2 (Chung et al. 2018): ``mp4/<speaker>/<video>/<utterance>.mp4``."""

from collections.abc import Iterator
from pathlib import Path

from dubbench.datamodules.sources import RawClip, ending
from dubbench.datamodules.sources.about import About

LAYOUT = "<id00012>/<YouTube id>/<utterance>.mp4, as it is or below mp4, dev/mp4 and test/mp4"
ABOUT = About(
    title="VoxCeleb2",
    paper="Chung et al., VoxCeleb2: Deep Speaker Recognition, Interspeech 2018",
    obtain="Ask for access at mm.kaist.ac.kr/datasets/voxceleb, fetch vox2_dev_mp4_part* and vox2_test_mp4.zip "
    "(not the aac parts, which are sound only), join the parts (cat vox2_dev_mp4_part* > vox2_dev_mp4.zip) and unpack.",
    licence="metadata CC BY 4.0; the videos stay their owners'",
    size="1,128,246 utterances of 6,112 speakers, about 2,440 hours",
    fps=(25.0,),
    frames=((224, 224),),
    crop="square around the head, tight",
    speech="in the videos",
    speaker="the corpus' id",
    split="by the hash of the speaker, over dev and test alike",
)


def find(root: Path) -> Iterator[RawClip]:
    """Yield the utterances below ``root``, whether they come from ``dev`` or ``test``."""
    for path, match in ending(root, r"(?P<clip>(?P<speaker>id\d+)/[^/]+/[^/]+)"):
        yield RawClip(match["clip"], match["speaker"], path)
