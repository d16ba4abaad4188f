"""The one rule that matches videos to clip ids, wherever videos are scored or shown.

A video stands for the clip whose id is its path below the folder without its suffix; where no clip is called so, for
the one whose id is the path with it, since a clip id keeps its file's suffix where two files differ in nothing else.
Names are compared in Unicode's composed form. Folders may be spelled ``s1__bbaf2n`` as well as ``s1/bbaf2n``; where two
clip ids differ in nothing but that spelling, only their own counts. So a video stands for one clip at most. A clip that
two videos stand for has none: nobody knows which of them is meant, and a guess would be a wrong number.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dubbench.core.folders import composed
from dubbench.datamodules.sources import without_suffix
from dubbench.datamodules.tree import files


@dataclass(frozen=True)
class Matches:
    """Which video is which clip's.

    Attributes:
        found: by clip id, its video.
        ambiguous: by clip id, the videos of which nobody knows which is meant.
        missing: ids of clips without any video.
        strangers: videos that stand for no clip.
    """

    found: Mapping[str, str]
    ambiguous: Mapping[str, Sequence[str]]
    missing: Sequence[str]
    strangers: Sequence[str]

    def refusal(self, clip: str) -> str:
        """Why a clip has no video, in one sentence; empty where it has one."""
        if clip in self.ambiguous:
            return f"several videos match this clip: {' and '.join(self.ambiguous[clip])}; leave one"
        if clip in self.found:
            return ""
        return f"there is no video for this clip; name it {clip}.mp4 below the folder of the videos"


def match(clips: Iterable[str], names: Iterable[str], *, suffixes: bool = True) -> Matches:
    """Match videos to clips by the rule of this module.

    Args:
        clips: their ids.
        names: of the videos, posix paths below their folder.
        suffixes: whether names end in a suffix; clips of a prepared folder do not.
    """
    clips = list(dict.fromkeys(clips))
    spelled: dict[str, list[str]] = defaultdict(list)
    for clip in clips:
        spelled[_flat(clip)].append(clip)
    fitting: dict[str, list[str]] = defaultdict(list)
    strangers: list[str] = []
    for name in sorted(names):
        readings = (_plain(name), name) if suffixes else (name,)
        # A reading that only another spelling of two clips shares stands for neither of them.
        own = next((found for reading in readings if (found := _named(reading, spelled.get(_flat(reading), ())))), None)
        (strangers if own is None else fitting[own]).append(name)
    return Matches(
        found={clip: fitting[clip][0] for clip in clips if len(fitting[clip]) == 1},
        ambiguous={clip: fitting[clip] for clip in clips if len(fitting[clip]) > 1},
        missing=[clip for clip in clips if not fitting[clip]],
        strangers=strangers,
    )


def names_below(folder: Path) -> list[str]:
    """Names of the videos at any depth below a folder, as `match` takes them; none where there is no folder."""
    return below(folder)[0] if folder.is_dir() else []


def below(folder: Path) -> tuple[list[str], dict[str, int]]:
    """Names of the videos at any depth below a folder, and its other files, counted by the reason: see `tree.files`."""
    names: list[str] = []
    ignored: Counter[str] = Counter()
    for found in files(folder):
        if found.reason:
            ignored[found.reason] += 1
        else:
            names.append(found.path.relative_to(folder).as_posix())
    return sorted(names), dict(ignored.most_common())


def lies_in(path: Path, roots: Iterable[Path]) -> bool:
    """Whether a file or folder lies below one of some folders, links followed to their end."""
    return any(path.resolve().is_relative_to(root.resolve()) for root in roots)


def outside(folder: Path | str) -> str:
    """What is said of videos that are not shown since their folder is not one of the results'."""
    return f"its videos lie in {folder}, outside the results; --video_root {folder} shows them"


def ids_of(names: Iterable[str]) -> dict[str, str]:
    """Clip ids of videos that no corpus names, by name: without the suffix, with it where several share the rest."""
    ids = {name: _plain(name) for name in names}
    # A name in full can be another's without its suffix: a.mp4.mp4 beside a.mp4 and a.avi.
    while len(set(ids.values())) < len(ids):
        uses = Counter(ids.values())
        ids = {name: short if uses[short] == 1 else name for name, short in ids.items()}
    return ids


def _plain(name: str) -> str:
    return without_suffix(Path(name), Path())


def _flat(name: str) -> str:
    return composed(name).replace("/", "__")


def _named(reading: str, clips: Sequence[str]) -> str | None:
    """The one of equally spelled clips that a reading names."""
    if len(clips) == 1:
        return clips[0]
    return next((clip for clip in clips if composed(clip) == composed(reading)), None)
