"""Frames of several methods on one clip, a row a method: the comparison figure of every paper."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from dubbench.errors import DubbenchError
from dubbench.face.landmarks import FaceMesh, points_68
from dubbench.figures import plotting
from dubbench.figures.shown import MethodVideos, refuse_outside, shown
from dubbench.media.container import Image
from dubbench.media.video import read_frames

Box = tuple[int, int, int, int]

MOUTH = slice(48, 68)
# Of the box's width and height, on each side: what is shown around the landmarks.
MARGIN = {"face": (0.25, 0.3), "mouth": (0.35, 0.55)}
LONGEST = 640  # pixels of a cell's longer side


def frames_of(video: Path, wanted: Sequence[int]) -> list[Image]:
    """Some frames of a video at 25 fps, in the order asked for.

    Raises:
        DubbenchError: if it has fewer.
        MediaError: if it is unreadable.
    """
    found: dict[int, Image] = {}
    count = 0
    for k, frame in enumerate(read_frames(video)):
        count = k + 1
        if k in wanted:
            found[k] = frame
        if len(found) == len(set(wanted)):
            return [found[k] for k in wanted]
    raise DubbenchError(f"{video} has frames 0 to {count - 1} and not {max(wanted)}; choose others with --frames")


def evenly(frames: int, count: int) -> list[int]:
    """``count`` frame numbers spread over a clip, the middles of equal parts.

    Raises:
        DubbenchError: if there are fewer frames.
    """
    if not 0 < count <= frames:
        raise DubbenchError(f"{count} frames cannot be shown of a clip of {frames}; choose 1 to {frames}")
    return [(2 * k + 1) * frames // (2 * count) for k in range(count)]


def length(video: Path) -> int:
    """Frames of a video at 25 fps."""
    return sum(1 for _ in read_frames(video))


def zoomed(pictures: Sequence[Image], part: str) -> Box:
    """Left, top, right, bottom of the face or mouth over all of some frames, with a margin, within the frame.

    Raises:
        DubbenchError: if none of them shows a face.
    """
    with FaceMesh() as mesh:
        faces = [points_68(found[0]) for picture in pictures if (found := mesh.detect(picture))]
    if not faces:
        raise DubbenchError("no face was found to zoom in on; leave --zoom out, or give --box")
    points = np.concatenate([face[MOUTH if part == "mouth" else slice(None)] for face in faces])
    low, high = points.min(0), points.max(0)
    margin = (high - low) * MARGIN[part]
    (left, top), (right, bottom) = np.floor(low - margin), np.ceil(high + margin)
    height, width = pictures[0].shape[:2]
    return max(0, int(left)), max(0, int(top)), min(width, int(right)), min(height, int(bottom))


def draw(rows: Sequence[tuple[str, Sequence[Image]]], frames: Sequence[int], box: Box | None, out: Path) -> None:
    """Write the strip.

    Args:
        rows: label and frames of each; frames that are larger than the first row's, by an encoder's padding, are cut.
        frames: their numbers.
        box: what part of each frame is shown; None for all.
        out: PNG.
    """
    height, width = rows[0][1][0].shape[:2]
    left, top, right, bottom = box or (0, 0, width, height)
    figure, cells = plotting.grid(len(rows), len(frames), aspect=(bottom - top) / (right - left))
    for r, (label, pictures) in enumerate(rows):
        plotting.name_row(cells[r][0], label)
        for c, picture in enumerate(pictures):
            cut = picture[:height, :width][top:bottom, left:right]
            plotting.show(cells[r][c], _small(cut), f"frame {frames[c]}" if r == 0 else "")
    plotting.save(figure, out)


def _small(picture: Image) -> Image:
    scale = LONGEST / max(picture.shape[:2])
    if scale >= 1:
        return picture
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def make(
    *,
    results: Sequence[Path],
    clip: str,
    methods: Sequence[str] | None,
    frames: str | None,
    count: int,
    zoom: str | None,
    box: Sequence[int] | None,
    out: Path,
    video_root: Sequence[Path] = (),
) -> None:
    """Write the strip of a clip.

    Args:
        results: folders that dubbench eval wrote.
        clip: id of a clip in them.
        methods: only these; None for all.
        frames: ``K,K,...``, numbers of the frames.
        count: how many, evenly over the clip, where ``frames`` is None.
        zoom: face or mouth of the first row, which is shown in all rows.
        box: left, top, width and height in pixels of what is shown where ``zoom`` is None.
        out: PNG.
        video_root: folders outside the results whose videos may be shown.

    Raises:
        DubbenchError: where the results have not what is asked for.
    """
    found = shown(results, methods, video_root)
    refuse_outside(found)
    for row in found:
        if clip in row.refused:
            raise DubbenchError(row.refused[clip])
    rows = [row for row in found if clip in row.videos]
    if not rows:
        raise DubbenchError(f"no video of {clip} is in these results; its name is the clip's id, as s1/bbaf2n")
    total = length(rows[0].videos[clip])
    wanted = plotting.numbers(frames, "--frames", total) if frames else evenly(total, count)
    pictures = [(_label(row), frames_of(row.videos[clip], wanted)) for row in rows]
    first = pictures[0][1]
    part = zoomed(first, zoom) if zoom else _corners(box, first[0]) if box else None
    draw(pictures, wanted, part, out)


def _corners(box: Sequence[int], picture: Image) -> Box:
    """Corners of a box that must lie in a picture."""
    left, top, wide, high = box
    height, width = picture.shape[:2]
    if not (0 <= left < left + wide <= width and 0 <= top < top + high <= height):
        raise DubbenchError(f"--box {left} {top} {wide} {high} reaches beyond the frames of {width} x {height} pixels")
    return left, top, left + wide, top + high


def _label(row: MethodVideos) -> str:
    return row.label.replace("_", " ").replace("/", "\n")
