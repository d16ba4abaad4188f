"""Is a folder the corpus it is taken for? What is there, what is wrong with it, and the way out."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from dubbench.datamodules import sources, splits, tree
from dubbench.datamodules.sources import RawClip
from dubbench.datamodules.sources.about import About
from dubbench.datamodules.sources.demo import MARKER
from dubbench.errors import DubbenchError
from dubbench.media import MediaError

if TYPE_CHECKING:
    from dubbench.media.video import VideoInfo

SAMPLE = 20
SAME_RATE = 0.1
"""Hz: 29.97 passes for 30."""
KINDS = {
    "unfinished downloads": r"\.(part|crdownload|ytdl|aria2)$",
    "archives": r"(\.(zip|tar|tgz|gz|bz2|xz|rar|7z|z\d\d)(\.\d+)?|part_?[a-z]{2})$",
    "pictures": r"\.(png|jpe?g|bmp|webp)$",
    "sound files": r"\.(wav|m4a|aac|mp3|flac|ogg|opus)$",
    "text files": r"\.(txt|csv|tsv|json|jsonl|xml|ya?ml|align|md|pdf|html?)$",
}
"""Files that are no videos, by their names; where a folder has no videos, the first kind there says what is wrong."""
REMEDIES = {
    "unfinished downloads": "let the download finish",
    "archives": "join the parts of split ones (cat NAME_part* > NAME) and unpack them",
    "pictures": "frames have no sound, without which nothing can be dubbed; the videos with their sound are wanted",
    "sound files": "that is the sound alone; the videos are a download of their own",
    "text files": "those are annotations; the videos that they belong to must be fetched",
    "other files": "fetch the corpus' videos",
}


@dataclass
class CorpusReport:
    """What a check found.

    Attributes:
        facts: what is there.
        warnings: what is wrong, but leaves the folder usable.
        fault: why the folder cannot be used; empty if it can.
    """

    facts: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    fault: str = ""


@dataclass(frozen=True)
class Files:
    """Files of one kind below a folder: how many, and the first of them."""

    count: int
    first: Path


def check(dataset: str, root: Path, sample: int = SAMPLE) -> CorpusReport:
    """Look at a folder as ``dubbench prepare`` would, and open some of its clips.

    Args:
        dataset: corpus name, see `sources.MODULES`.
        root: the folder.
        sample: clips to open, evenly spread over the corpus; 0 opens none.

    Raises:
        DubbenchError: if no such corpus is known or ``root`` is no folder.
    """
    about = about_corpus(dataset)
    if not root.is_dir():
        raise DubbenchError(f"{root} is not a folder; give the folder of the {dataset} corpus with --root")
    report, clips, files = CorpusReport(), _clips(dataset, root), inventory(root)
    if not clips:
        report.fault = _instead(dataset, root, files)
        return report
    full = [clip for clip in clips if clip.path.stat().st_size]
    if not full:
        report.fault = f"no clip below {root} has content: {_several(len(clips), 'file')} of 0 bytes; fetch them again"
        return report
    _count(report, dataset, clips)
    if line := tree.told(sources.ignored(dataset, clips, root)):
        report.facts.append(line)
    empty = [clip.path for clip in clips if not clip.path.stat().st_size]
    _warn(report, empty, total=len(clips), root=root, what="are empty (0 bytes); fetch or unpack them again")
    _compare_names(report, dataset, about=about, clips=clips, files=files, root=root)
    if sample:
        _look_inside(report, about, sample=_spread(full, sample), clips=len(clips), root=root)
    return report


def about_corpus(dataset: str) -> About:
    """The facts of a corpus.

    Raises:
        DubbenchError: if no such corpus is known.
    """
    about: About = _module(dataset).ABOUT
    return about


def layout(dataset: str) -> str:
    """How the files of a corpus lie; raises as `about_corpus`."""
    return str(_module(dataset).LAYOUT)


def inventory(root: Path) -> dict[str, Files]:
    """Count all files below a folder by kind, hidden ones left out."""
    found: dict[str, Files] = {}
    for path in sorted(each.path for each in tree.files(root) if each.reason not in tree.NO_FILES):
        kind = _kind(path.name)
        before = found.get(kind)
        found[kind] = Files(before.count + 1, before.first) if before else Files(1, path)
    return found


def _module(dataset: str) -> ModuleType:
    if dataset not in sources.MODULES:
        raise DubbenchError(f"no corpus is called {dataset!r}; there are {', '.join(sorted(sources.MODULES))}")
    return import_module(sources.MODULES[dataset])


def _clips(dataset: str, root: Path) -> list[RawClip]:
    """The clips below a folder, perhaps none; the demo corpus is looked at, not made."""
    if dataset == "demo":
        return sources.distinct(_module("folder").find(root), root) if (root / MARKER).is_file() else []
    return sources.distinct(_module(dataset).find(root), root)


def _kind(name: str) -> str:
    for kind, pattern in KINDS.items():
        if re.search(pattern, name, re.IGNORECASE):
            return kind
    return "videos" if Path(name).suffix.lower() in tree.VIDEO_SUFFIXES else "other files"


def _instead(dataset: str, root: Path, files: dict[str, Files]) -> str:
    """Why a folder holds no clip, by what it holds instead."""
    more = f"`dubbench corpus {dataset}` says what to get"
    if not files:
        return f"{root} is empty; {more}"
    if "videos" in files:
        videos, other = files["videos"], _looks_like(root)
        return (
            f"{root} holds {_several(videos.count, 'video')}, such as {videos.first}, but none lies as {dataset} does: "
            f"{layout(dataset)}; "
            + (f"it looks like {other}" if other else "restore those names, or take the videos with --dataset folder")
        )
    kind = next(kind for kind in REMEDIES if kind in files)
    what = _several(files[kind].count, kind[:-1])
    return f"{root} holds no video but {what}, such as {files[kind].first}; {REMEDIES[kind]}; {more}"


def _looks_like(root: Path) -> str | None:
    """A corpus that takes a video below a folder, other than those that take any."""
    names = (name for name in sorted(sources.MODULES) if name not in ("demo", "folder"))
    return next((name for name in names if next(_module(name).find(root), None)), None)


def _count(report: CorpusReport, dataset: str, clips: Sequence[RawClip]) -> None:
    speakers = {clip.speaker for clip in clips}
    parts = Counter(splits.assign(dataset, clips).values())
    report.facts.append(f"{_several(len(clips), 'clip')} of {_several(len(speakers), 'speaker')}")
    report.facts.append("split: " + ", ".join(f"{parts[name]} {name}" for name in splits.SPLITS))
    apart = sum(clip.audio is not None for clip in clips)
    if apart:
        report.facts.append(f"{apart} of them with a sound file of their own")


def _compare_names(
    report: CorpusReport, dataset: str, about: About, clips: Sequence[RawClip], files: dict[str, Files], root: Path
) -> None:
    """What the names alone say: left out, unlabelled, unlisted, unfinished, or a level too high."""
    left = files["videos"].count - len(clips)
    if left > 0:
        known = {clip.path for clip in clips}
        first = next((path for path in sorted(tree.videos(root)) if path not in known), files["videos"].first)
        report.warnings.append(
            f"{_several(left, 'other video')} left out, since not laid out as the corpus is: {first}"
        )
    for kind in ("unfinished downloads", "archives"):
        if kind in files:
            what = _several(files[kind].count, kind[:-1])
            report.warnings.append(f"{what} beside the clips: {files[kind].first}; {REMEDIES[kind]}")
    if about.label:
        bare = [clip.path for clip in clips if not clip.path.with_suffix(about.label).is_file()]
        _warn(
            report, bare, total=len(clips), root=root, what=f"have no {about.label} beside them; unpack the labels, too"
        )
    unlisted = [clip.path for clip in clips if about.lists and clip.official is None]
    names = ", ".join(about.lists)
    _warn(
        report,
        unlisted,
        total=len(clips),
        root=root,
        what=f"are in none of {names}; put these beside the corpus, else a hash splits",
    )
    deeper = _level_below(root) if dataset == "folder" and len({clip.speaker for clip in clips}) == 1 else None
    if deeper:
        report.warnings.append(f"all clips count as of one speaker; are the speakers' folders in --root {deeper}?")


def _level_below(root: Path) -> Path | None:
    """The only folder of the top, if at least two folders with videos lie in it."""
    folders = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    if len(folders) != 1:
        return None
    inner = [path for path in folders[0].iterdir() if path.is_dir() and any(tree.videos(path))]
    return folders[0] if len(inner) > 1 else None


def _spread(clips: Sequence[RawClip], sample: int) -> list[RawClip]:
    """So many clips, evenly spread."""
    count = min(sample, len(clips))
    return [clips[k * len(clips) // count] for k in range(count)]


def _look_inside(report: CorpusReport, about: About, sample: Sequence[RawClip], clips: int, root: Path) -> None:
    """Open clips, and compare rate, size and sound with what the corpus has."""
    opened, unreadable = _probed(sample)
    if not opened:
        report.fault = f"none of {_several(len(sample), 'opened clip')} can be read: {unreadable[0][1]}"
        return
    seconds = sum(info.duration for _, info in opened) / len(opened)
    report.facts.append(f"about {seconds * clips / 3600:.3g} hours, judged by {_several(len(opened), 'clip')}")
    report.facts.append("frame rates: " + _tally(f"{info.average_fps:.4g}" for _, info in opened))
    report.facts.append("frames: " + _tally(f"{info.width} x {info.height}" for _, info in opened))
    total = len(sample)
    if unreadable:
        _warn(
            report, [path for path, _ in unreadable], total=total, root=root, what=f"cannot be read: {unreadable[0][1]}"
        )
    rates = [c.path for c, info in opened if about.fps and not _near(info.average_fps, about.fps)]
    usual = " or ".join(f"{rate:g}" for rate in about.fps)
    _warn(
        report,
        rates,
        total=total,
        root=root,
        what=f"do not run at the corpus' {usual} fps; these are not the original files",
    )
    sizes = [c.path for c, info in opened if about.frames and (info.width, info.height) not in about.frames]
    usual = " or ".join(f"{width} x {height}" for width, height in about.frames)
    _warn(
        report,
        sizes,
        total=total,
        root=root,
        what=f"do not have the corpus' {usual} pixels; these are not the original files",
    )
    silent = [clip.path for clip, info in opened if not info.has_audio and not _sounds(clip)]
    if len(silent) == len(opened):
        report.fault = (
            f"none of {_several(len(opened), 'opened clip')} has sound, without which nothing can be dubbed "
            f"({silent[0]}); speech of this corpus is {about.speech}"
        )
        return
    _warn(report, silent, total=total, root=root, what="have no sound; dubbench prepare will list them as failed")


def _probed(sample: Sequence[RawClip]) -> "tuple[list[tuple[RawClip, VideoInfo]], list[tuple[Path, str]]]":
    """Clips that open, with what their headers say, and those that do not, with the reason."""
    from dubbench.media.video import probe

    opened: list[tuple[RawClip, VideoInfo]] = []
    unreadable: list[tuple[Path, str]] = []
    for clip in sample:
        try:
            opened.append((clip, probe(clip.path)))
        except MediaError as error:
            unreadable.append((clip.path, str(error)))
    return opened, unreadable


def _sounds(clip: RawClip) -> bool:
    """Whether the clip has a file of sound that decodes."""
    from dubbench.media.audio import read_speech

    try:
        return clip.audio is not None and len(read_speech(clip.audio)) > 0
    except MediaError:
        return False


def _near(rate: float, usual: Sequence[float]) -> bool:
    return any(abs(rate - one) <= SAME_RATE for one in usual)


def _tally(values: Iterator[str]) -> str:
    return ", ".join(f"{value} ({count})" for value, count in Counter(values).most_common())


def _warn(report: CorpusReport, paths: Sequence[Path], total: int, root: Path, what: str) -> None:
    """Add a warning about some of so many clips, with the first of them by name."""
    if paths:
        report.warnings.append(
            f"{len(paths)} of {_several(total, 'clip')} {what} (first: {paths[0].relative_to(root)})"
        )


def _several(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
