"""GRID audiovisual sentences (Cooke et al. 2006): ``<speaker>/<sentence>.mpg``.

The corpus' own archives unpack to ``s1/bbaf2n.mpg`` or to ``s1/video/mpg_6000/bbaf2n.mpg``; both give the clip
``s1/bbaf2n``, the name that published splits use.
"""

from collections.abc import Iterator
from pathlib import Path

from dubbench.datamodules.sources import RawClip, videos

LAYOUT = "<speaker>/<sentence>.mpg"


def find(root: Path) -> Iterator[RawClip]:
    """Yield the sentences below ``root``; word alignments and files outside a speaker's folder are no clips."""
    for path in videos(root):
        speaker, *rest = path.relative_to(root).parts
        if rest:
            yield RawClip(f"{speaker}/{path.stem}", speaker, path)
