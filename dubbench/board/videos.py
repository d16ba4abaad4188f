"""Videos of every method on the same clips, found beside the results and put where a page can play them."""

import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from dubbench.board import curves, posters
from dubbench.board.entries import Entry
from dubbench.board.ranking import Group
from dubbench.core.files import atomic, sha256
from dubbench.core.links import own, stays
from dubbench.core.tables import read_csv
from dubbench.errors import DubbenchError
from dubbench.media import MediaError
from dubbench.media.container import Image, opened
from dubbench.results.videos import Matches, lies_in, match, names_below, outside

How = Literal["copy", "link", "none"]
DIGITS = 8
COPY = re.compile(rf"[A-Za-z0-9._+-]+-[0-9a-f]{{{DIGITS}}}\.[a-z0-9]+")
UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")
# Containers by suffix, and codecs with pixel formats (None: any), that today's browsers play.
SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".webm"})
CODECS = {"h264": ("yuv420p", "yuvj420p"), "vp8": None, "vp9": None, "av1": None, "libdav1d": None}


@dataclass(frozen=True)
class ClipVideos:
    """One clip side by side.

    Attributes:
        clip: its id.
        driving: the clip whose speech drives it; empty where it is its own.
        urls: by index of the row in its group; empty where there is no video.
        notes: why there is none.
        posters: the picture that stands for each until it plays, as a data URI; empty where there is no video.
        ratio: width over height of the pictures.
        unshown: by index, why a video that is there cannot be shown.
    """

    clip: str
    driving: str
    urls: tuple[str, ...]
    notes: tuple[str, ...]
    posters: tuple[str, ...]
    ratio: float
    unshown: Mapping[int, str]


class Shelf:
    """Finds the videos of rows, and puts them within reach of a page."""

    def __init__(self, page: Path, how: How, count: int, rows: int, roots: Sequence[Path] = ()) -> None:
        """Make the shelf of a page.

        Args:
            page: the file of the page.
            how: copy the videos into ``<page>_files`` beside it, link them where they lie, or show none.
            count: clips to show of a group.
            rows: of all groups; times ``count``, ``most``, they say how much of the page a video's poster may take.
            roots: folders whose videos may be shown, beside those of the results.
        """
        self.roots = roots
        self.page, self.how, self.count = page, how, count
        self.most = max(1, rows * count)
        self.folder = page.with_name(f"{page.stem}_files")
        self._copies: dict[Path, str] = {}
        self._names: dict[Path, list[str]] = {}

    def fill(self, group: Group) -> list[ClipVideos]:
        """The clips to show of a group: those with most videos, spread evenly over its clips."""
        if self.how == "none":
            return []
        clips = list(dict.fromkeys(clip for own in group.clips for found in own.values() for clip in found))
        found = [self._matches(entry, clips) for entry in group.entries]
        known = {clip: [_video(folders, clip) for folders in found] for clip in clips}
        most = max((sum(path is not None for path in paths) for paths in known.values()), default=0)
        full = [clip for clip, paths in known.items() if most and sum(path is not None for path in paths) == most]
        few = min(self.count, len(full))
        chosen = [full[number * len(full) // few] for number in range(few)]
        driving = {clip: driver for entry in group.entries for clip, driver in _pairing(entry).items()}
        notes = {
            clip: [_note(entry, folders, clip) for entry, folders in zip(group.entries, found, strict=True)]
            for clip in chosen
        }
        return [
            self._shown(
                clip,
                driving.get(clip, ""),
                rows=list(zip(known[clip], notes[clip], group.entries, strict=True)),
                frame=curves.widest(group, clip, driving=driving.get(clip, ""), most=posters.FRAMES),
            )
            for clip in chosen
        ]

    def sweep(self) -> None:
        """Remove copies of an earlier page of this name that this one does not show."""
        if self.how != "none" and own(self.page.parent, self.folder.name).is_dir():
            kept = set(self._copies.values())
            for path in self.folder.iterdir():
                if COPY.fullmatch(path.name) and path.name not in kept:
                    path.unlink()

    def _shown(
        self, clip: str, driving: str, rows: Sequence[tuple[Path | None, str, Entry]], frame: int | None
    ) -> ClipVideos:
        urls, notes, pictures, unshown = [], [], [], {}
        ratio = 0.0
        for index, (path, lacking, entry) in enumerate(rows):
            image, note = (None, entry.failed.get(clip, lacking)) if path is None else seen(path, frame)
            if path is not None and image is None:
                unshown[index] = note
            if image is not None:
                ratio = ratio or image.shape[1] / image.shape[0]
            urls.append("" if image is None or path is None else self._url(path, entry.method, clip))
            notes.append(note)
            pictures.append("" if image is None else posters.poster(image, posters.ROOM // self.most))
        return ClipVideos(
            clip=clip,
            driving=driving,
            urls=tuple(urls),
            notes=tuple(notes),
            posters=tuple(pictures),
            ratio=ratio or 1.0,
            unshown=unshown,
        )

    def _url(self, path: Path, method: str, clip: str) -> str:
        if self.how == "link":
            return quote(Path(os.path.relpath(path.resolve(), self.page.parent.resolve())).as_posix())
        if path not in self._copies:
            words = (UNSAFE.sub("_", word).strip("._") for word in (method, clip))
            name = f"{'-'.join(words)}-{sha256(path)[:DIGITS]}{path.suffix.lower()}"
            copy = own(self.page.parent, f"{self.folder.name}/{name}")
            if not copy.is_file():
                with atomic(copy) as temporary:
                    shutil.copyfile(path, temporary)
            self._copies[path] = name
        return quote(f"{self.folder.name}/{self._copies[path]}")

    def _matches(self, entry: Entry, clips: Sequence[str]) -> dict[Path, Matches]:
        """By folder that may hold a row's videos, which of them are whose."""
        allowed = [*entry.folders, *self.roots]
        folders = [folder for folder in _folders(entry) if lies_in(folder, allowed)]
        for folder in folders:
            if folder not in self._names:
                self._names[folder] = [name for name in names_below(folder) if lies_in(folder / name, allowed)]
        return {folder: match(clips, self._names[folder]) for folder in folders}


def withheld(entries: Iterable[Entry], roots: Sequence[Path]) -> list[str]:
    """A sentence for each row whose videos a page does not show, since its results name a folder outside them."""
    return [
        f"{entry.method}: {outside(entry.videos)}"
        for entry in entries
        if entry.videos and not any(lies_in(folder, [*entry.folders, *roots]) for folder in _folders(entry))
    ]


def _video(folders: Mapping[Path, Matches], clip: str) -> Path | None:
    return next((folder / found.found[clip] for folder, found in folders.items() if clip in found.found), None)


def _note(entry: Entry, folders: Mapping[Path, Matches], clip: str) -> str:
    """Why there is no video of a clip: nobody knows which is meant, it lies elsewhere, or there is none."""
    refused = (found.refusal(clip) for found in folders.values() if clip in found.ambiguous)
    return next(refused, outside(entry.videos) if entry.videos and not folders else "no video beside the results")


def _folders(entry: Entry) -> list[Path]:
    """Where a row's videos may be: beside the results, or in a folder given as it was when they were scored."""
    if entry.videos:
        return [Path(entry.videos), *(folder / entry.videos for folder in entry.folders)]
    return [folder / "videos" / entry.method for folder in entry.folders if stays(entry.method)]


def _pairing(entry: Entry) -> dict[str, str]:
    paths = [folder / "pairing.csv" for folder in entry.folders]
    lines = [line for path in paths if path.is_file() for line in read_csv(path, ("clip", "driving"))]
    return {line["clip"]: line["driving"] for line in lines}


def seen(path: Path, frame: int | None) -> tuple[Image | None, str]:
    """A frame that stands for a video, as `dubbench.board.posters.still` takes it; or why a browser cannot show it."""
    if note := unplayable(path):
        return None, note
    try:
        return posters.still(path, frame), ""
    except MediaError as error:
        return None, str(error)


def unplayable(path: Path) -> str:
    """Why a browser cannot play a video; empty where it can."""
    try:
        with opened(path) as container:
            codecs = [(stream.codec_context.name, stream.codec_context.pix_fmt) for stream in container.streams.video]
    except DubbenchError as error:
        return str(error)
    codec, pixels = codecs[0] if codecs else ("no picture", None)
    formats = CODECS.get(codec, ())
    if path.suffix.lower() in SUFFIXES and (formats is None or pixels in formats):
        return ""
    return f"browsers do not play {path.suffix.lower()} with {codec} {pixels or ''}".strip()
