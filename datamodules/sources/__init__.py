"""Corpora as they lie on disk: one module a corpus, each with ``find(root) -> Iterator[RawClip]``."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path, PurePosixPath
from pkgutil import iter_modules

from dubbench.core.folders import composed
from dubbench.datamodules.tree import left_out, videos
from dubbench.errors import DubbenchError

# A corpus is a file of this folder; `about` describes what each says of itself.
NAMES = tuple(sorted(module.name for module in iter_modules(__path__) if module.name != "about"))
MODULES = {name: f"{__name__}.{name}" for name in NAMES}
RESERVED = frozenset({"dataset.json", "failures.csv", "manifest.parquet"})


@dataclass(frozen=True, order=True)
class RawClip:
    """A video of a corpus.

    Attributes:
        clip: id, a relative posix path; also the name of the prepared folder.
        speaker: who speaks, as the corpus names its identities.
        path: the video file.
        audio: the file with its speech, where the corpus keeps sound apart from the pictures.
        official: ``train``, ``val`` or ``test`` where the corpus itself says so.
    """

    clip: str
    speaker: str
    path: Path
    audio: Path | None = None
    official: str | None = None


def find(dataset: str, root: Path) -> list[RawClip]:
    """List the clips of a corpus, sorted by clip id.

    Raises:
        DubbenchError: if no such corpus is known, ``root`` is no folder, or it holds no clip.
    """
    if dataset not in MODULES:
        raise DubbenchError(f"no dataset is called {dataset!r}; there are {', '.join(sorted(MODULES))}")
    source = import_module(MODULES[dataset])
    if dataset != "demo" and not root.is_dir():
        raise DubbenchError(f"{root} is not a folder; give the folder of the {dataset} corpus with --root")
    clips = distinct(source.find(root), root)
    if not clips:
        raise DubbenchError(f"{root} holds no {dataset} clips; {dataset} is laid out as {source.LAYOUT}")
    return clips


def ignored(dataset: str, clips: Iterable[RawClip], root: Path, apart: Path | None = None) -> dict[str, int]:
    """Files below a corpus folder that are no clip nor belong to one, counted by reason.

    Args:
        dataset: its name.
        clips: that were found.
        root: the folder.
        apart: a folder in it of which nothing counts.
    """
    source = import_module(MODULES[dataset])
    names = {*source.ABOUT.lists, getattr(source, "MARKER", "")}
    taken: set[Path] = set()
    for clip in clips:
        taken |= {clip.path, *([clip.audio] if clip.audio else [])}
        if source.ABOUT.label:
            taken.add(clip.path.with_suffix(source.ABOUT.label))
    return left_out(root, taken, names, apart)


def distinct(clips: Iterable[RawClip], root: Path) -> list[RawClip]:
    """Sort clips and give those whose ids clash their relative path with its suffix as id.

    Ids and speakers are in Unicode's composed form, so that lists of them match.

    Ids clash when they are equal, when one is a folder of another (prepared clips never nest), or when a file
    of the prepared folder has the name.
    """
    found = [replace(clip, clip=composed(clip.clip), speaker=composed(clip.speaker)) for clip in clips]
    clashing: set[Path] = set()
    while True:
        named = [replace(c, clip=_relative(c.path, root)) if c.path in clashing else c for c in found]
        uses = Counter(clip.clip for clip in named)
        folders = {str(parent) for clip in named for parent in PurePosixPath(clip.clip).parents}
        taken = folders | RESERVED | {clip for clip, count in uses.items() if count > 1}
        new = {clip.path for clip in named if clip.clip in taken} - clashing
        if not new:
            return sorted(named)
        clashing |= new


def ending(root: Path, pattern: str) -> Iterator[tuple[Path, re.Match[str]]]:
    """Videos below ``root`` whose absolute path without suffix ends as ``pattern`` says, with the match.

    So a clip has the same id wherever the corpus was unpacked, and however deep inside it ``root`` points.
    """
    form = re.compile(rf"(?:^|/){pattern}$")
    for path in videos(root):
        if match := form.search(path.absolute().with_suffix("").as_posix()):
            yield path, match


def without_suffix(path: Path, root: Path) -> str:
    """Clip id of a file: its posix path below ``root`` without the suffix."""
    return path.relative_to(root).with_suffix("").as_posix()


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
