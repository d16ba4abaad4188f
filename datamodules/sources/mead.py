"""MEAD (Wang et al. 2020): ``<speaker>/video/front/<emotion>/level_<n>/<k>.mp4`` and the same below ``audio``."""

from collections.abc import Iterator
from pathlib import Path

from dubbench.datamodules.sources import RawClip, ending
from dubbench.datamodules.sources.about import About

LAYOUT = (
    "<speaker>/video/front/<emotion>/level_<n>/<k>.mp4 and <speaker>/audio/<emotion>/level_<n>/<k>.m4a (or .wav), "
    "speakers M003 to W040"
)
ABOUT = About(
    title="MEAD",
    paper="Wang et al., MEAD: A Large-scale Audio-visual Dataset for Emotional Talking-face Generation, ECCV 2020",
    obtain="Follow wywu.github.io/projects/MEAD/MEAD.html; fetch each actor's folder (M003, W009, ...) and unpack "
    "video.tar and audio.tar inside it.",
    licence="its terms of use, which lie beside its code at github.com/uniBruce/Mead",
    size="60 actors, 8 emotions at 3 levels (neutral has one), 7 views; Part 0, which is public, lacks some of them",
    fps=(30.0,),
    frames=((1920, 1080),),
    crop="head and shoulders in a studio, uncropped",
    speech="beside the videos, below audio; a video's own sound wins where it has some",
    speaker="the actor",
    split="by the hash of the actor; the corpus gives none",
    labels="emotion and level, in the path",
)
SOUNDS = (".m4a", ".wav", ".aac", ".mp3")


def find(root: Path) -> Iterator[RawClip]:
    """Yield the frontal view; the other six show the same sentences from aside, above and below."""
    pattern = r"(?P<speaker>[MW]\d{3})/video/(?:\d/)?(?P<clip>front/(?P<sentence>[a-z]+/level_\d/\d+))"
    for path, match in ending(root, pattern):
        speaker = Path(path.absolute().as_posix()[: match.end("speaker")])
        sound = speaker / "audio" / match["sentence"]
        audio = next((file for suffix in SOUNDS if (file := Path(f"{sound}{suffix}")).is_file()), None)
        yield RawClip(f"{match['speaker']}/{match['clip']}", match["speaker"], path, audio)
