"""The files below a folder of videos: which are videos, and what is left out and why."""

import os
import stat
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# Containers of video that FFmpeg reads, by the names that files have; raw streams without a clock are none.
CONTAINERS = (
    "3g2 3gp amv asf avi dav divx dv dvd evo f4v flv gxf ismv ivf m1v m2p m2t m2ts m2v m4v mj2 mjpeg mjpg mk3d mkv mod "
    "mov mp4 mp4v mpe mpeg mpg mpv mqv mts mxf nsv nut ogm ogv ps qt rm rmvb roq tod ts vob webm wmv wtv y4m"
)
VIDEO_SUFFIXES = frozenset(f".{name}" for name in CONTAINERS.split())
WORK = ".work"  # of the folder in which a dubbing grows beside its output
HIDDEN, WORKING, TWICE = "hidden", "of an unfinished dubbing", "in folders that a link leads to a second time"
BROKEN, SPECIAL, UNREADABLE = "links to nothing", "no plain files", "in folders that cannot be read"
NO_FILES = frozenset({HIDDEN, WORKING, TWICE, UNREADABLE})
STRANGE = "videos that lie as none of the corpus does"


@dataclass(frozen=True)
class Found:
    """A file below a folder.

    Attributes:
        path: where it lies, by the names of links that lead there.
        reason: why it is no video, else empty.
    """

    path: Path
    reason: str = ""


def files(root: Path) -> Iterator[Found]:
    """Every file below a folder; links are followed, each folder once, those that are no links first.

    What is left out whole, such as a hidden folder, is one entry.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [root]
    links: list[Path] = []
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop(0)
        try:
            status = folder.stat()
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            yield Found(folder, UNREADABLE)
            continue
        if (status.st_dev, status.st_ino) in seen:
            yield Found(folder, TWICE)
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith("."):
                yield Found(path, HIDDEN)
            elif not _is_folder(entry):
                yield Found(path, _reason(path))
            elif path.suffix == WORK:
                yield Found(path, WORKING)
            else:
                (links if entry.is_symlink() else waiting).append(path)


def videos(root: Path) -> Iterator[Path]:
    """Video files anywhere below ``root``, told by their suffix; hidden files and folders are left out."""
    return (found.path for found in files(root) if not found.reason)


def left_out(
    root: Path, taken: Iterable[Path], names: Container[str] = (), apart: Path | None = None
) -> dict[str, int]:
    """Files below a folder that are no clip of it nor belong to one, counted by reason, the most first.

    Args:
        root: the folder.
        taken: files of its clips.
        names: of files that belong to the corpus as a whole.
        apart: a folder in it of which nothing counts.
    """
    known = set(taken)
    counts: Counter[str] = Counter()
    for found in files(root):
        belongs = found.path in known or found.path.name in names
        if not belongs and not (apart and found.path.is_relative_to(apart)):
            counts[found.reason or STRANGE] += 1
    return dict(sorted(counts.items(), key=lambda count: (-count[1], count[0])))


def told(counts: Mapping[str, int]) -> str:
    """What `left_out` found in one sentence: ``12 files ignored: 10 .m2t, 2 hidden``; empty for none."""
    if not counts:
        return ""
    total = sum(counts.values())
    parts = ", ".join(f"{count} {reason}" for reason, count in counts.items())
    return f"{total} file{'s' * (total > 1)} ignored: {parts}"


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle
        return False


def _reason(path: Path) -> str:
    """Why a file is no video; empty if it is one."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return BROKEN
    if not stat.S_ISREG(mode):
        return SPECIAL
    suffix = path.suffix.lower()
    return "" if suffix in VIDEO_SUFFIXES else suffix or "without a suffix"
