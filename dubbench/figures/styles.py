"""Styles of clips in the plane by t-SNE, a colour a speaker (PersonaTalk 4.5, Figure 5).

The paper draws the embeddings of its first stage: those of a checkpoint of PersonaTalk are drawn here. Beside them, or
alone, stand those of the style encoder behind ``style_sim``, which judges any method.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dubbench.core import devices
from dubbench.datamodules.clip import PreparedClip, read_manifest
from dubbench.datamodules.geometry import read_geometry
from dubbench.errors import DubbenchError
from dubbench.evaluation import landmark_cache
from dubbench.evaluation.crops import ALIGNED, Geometry, aligned_faces, measured_points, nearest_face
from dubbench.evaluation.speaking_style import SHORTEST, StyleExpert
from dubbench.face.landmarks import FaceMesh
from dubbench.face3d.fitting import clip_guess
from dubbench.figures import plotting
from dubbench.figures.shown import refuse_outside, shown
from dubbench.models.base import DubbingModel
from dubbench.models.load import load_model
from dubbench.models.style_encoder.module import embed
from dubbench.results.rows import GROUND_TRUTH

HALVES = ("first half", "second half")
MARKS = "o^sDPXv*"
FEWEST = 4
PERPLEXITY = 20


@dataclass(frozen=True)
class Point:
    """The style of one stretch of video.

    Attributes:
        style: [D].
        speaker: who.
        kind: what the mark tells: the clip's half, or whose video it is.
    """

    style: Tensor
    speaker: str
    kind: str


class Filmed(NamedTuple):
    """A video by its landmarks, [T, 68, 2] in aligned pixels at 256, with the speaker and whose video it is."""

    points: NDArray[np.floating[Any]]
    speaker: str
    kind: str


class Styles(Protocol):
    """What gives styles.

    Attributes:
        title: what stands above its points.
    """

    title: str

    def of_clip(self, clip: PreparedClip, part: tuple[float, float]) -> Tensor:
        """Styles [n, D] of a part of a prepared clip, by its geometry; `DubbenchError` where it has none."""
        ...

    def of_points(self, points: NDArray[np.floating[Any]]) -> Tensor:
        """Styles [n, D] of landmarks [T, 68, 2], aligned pixels at 256; none of too few frames."""
        ...


class JudgedStyles:
    """Styles, of length 1, of the encoder behind ``style_sim``: of stretches of its window, ``hop`` frames apart."""

    title = "style encoder of style_sim"

    def __init__(self, expert: StyleExpert, hop: int) -> None:
        self.expert, self.hop = expert, hop

    def of_clip(self, clip: PreparedClip, part: tuple[float, float]) -> Tensor:
        """See `Styles`; one stretch of all there is where that is less."""
        return nn.functional.normalize(embed(self.expert.model, clip, part, hop=self.hop).float(), dim=1)

    def of_points(self, points: NDArray[np.floating[Any]]) -> Tensor:
        """See `Styles`."""
        return nn.functional.normalize(stretches(self.expert, points, self.hop).float(), dim=-1)


class OwnStyles:
    """A method's own styles, one of each video or half of a clip, as `DubbingModel.own_style` gives them."""

    def __init__(self, model: DubbingModel) -> None:
        self.model, self.title = model, f"{type(model).__name__}'s own style embedding"
        # One that has none says so before the landmarks of any video are looked for.
        components = 0 if model.face_model is None else model.face_model.sizes[2]
        model.own_style(torch.zeros(1, 1, components, device=model.device))

    def of_clip(self, clip: PreparedClip, part: tuple[float, float]) -> Tensor:
        """See `Styles`."""
        first, last = (round(share * len(clip)) for share in part)
        return self._of(torch.from_numpy(read_geometry(clip, self.model.face.hash()).expression[first:last]))

    @torch.inference_mode()
    def of_points(self, points: NDArray[np.floating[Any]]) -> Tensor:
        """See `Styles`."""
        places = torch.from_numpy(points).to(self.model.device, torch.float32)
        if len(places) < SHORTEST:
            return torch.empty(0, 0)
        found = torch.ones(len(places), dtype=torch.bool, device=places.device)
        return self._of(clip_guess(self.model.face, places, found).expression)

    def _of(self, expression: Tensor) -> Tensor:
        return self.model.own_style(expression[None].to(self.model.device)).float().cpu()


def prepared_styles(styles: Styles, root: Path) -> Iterator[Point]:
    """Styles of a prepared folder's clips from their geometry, first and second halves apart.

    Training may have seen the first halves alone (``--data.holdout``).

    Raises:
        DubbenchError: if a clip has no geometry of the styles' face model.
    """
    for row in read_manifest(root).itertuples():
        clip = PreparedClip(root, str(row.clip))
        for kind, part in zip(HALVES, ((0.0, 0.5), (0.5, 1.0)), strict=True):
            yield from (Point(style, str(row.speaker), kind) for style in styles.of_clip(clip, part))


def filmed_styles(styles: Styles, videos: Sequence[Filmed]) -> Iterator[Point]:
    """Styles of videos from landmarks alone, fitted in closed form, as ``style_sim`` compares them.

    A generated video has no prepared geometry, and what differs between two fits must be the faces.
    """
    for video in videos:
        yield from (Point(style, video.speaker, video.kind) for style in styles.of_points(video.points))


def filmed(root: Path, results: Sequence[Path], video_root: Sequence[Path] = ()) -> Iterator[Filmed]:
    """All videos in results beside the clips that they were made from.

    Raises:
        DubbenchError: if the prepared folder has none of the results' clips.
    """
    rows = [row for row in shown(results, roots=video_root) if row.method != GROUND_TRUTH]
    refuse_outside(rows)
    wanted = {clip for row in rows for clip in row.videos}
    speakers = {str(row.clip): str(row.speaker) for row in read_manifest(root).itertuples() if row.clip in wanted}
    if not speakers:
        raise DubbenchError(
            f"{root} has none of the clips of {results[0]}; give the prepared folder they were scored on"
        )
    with FaceMesh() as mesh:
        for name, speaker in speakers.items():
            clip = PreparedClip(root, name)
            yield Filmed(measured_points(clip), speaker, GROUND_TRUTH)
            for row in rows:
                if name in row.videos:
                    yield Filmed(_landmarks(row.videos[name], clip, mesh), speaker, row.label)


def _landmarks(video: Path, clip: PreparedClip, mesh: FaceMesh) -> NDArray[np.float64]:
    """Landmarks [n, 68, 2] of the frames with a face, in the clip's aligned square at 256."""
    geometry = Geometry.of_clip(clip, range(len(clip)), ALIGNED)
    frames = zip(landmark_cache.followed(video, mesh), geometry.source_points, strict=False)
    found = [nearest_face(faces, truth) for (_, faces), truth in frames]
    points, seen = aligned_faces(found, geometry)
    return points[seen]


def stretches(expert: StyleExpert, points: NDArray[np.floating[Any]], hop: int) -> Tensor:
    """Styles [n, D] of stretches of the encoder's window, ``hop`` frames apart; of all there is where that is less.

    Args:
        expert: the encoder.
        points: [T, 68, 2] landmarks, aligned pixels at 256.
        hop: frames from one stretch to the next.
    """
    size = min(expert.window, len(points))
    if size < SHORTEST:
        return torch.empty(0, 0)
    starts = range(0, len(points) - size + 1, hop)
    return torch.stack([expert.style(torch.from_numpy(points[start : start + size])) for start in starts])


def plane(points: Sequence[Point]) -> NDArray[np.float32]:
    """Where t-SNE puts the styles: [n, 2], the same for the same styles.

    Raises:
        DubbenchError: if there are too few.
    """
    if len(points) < FEWEST:
        raise DubbenchError(
            f"{len(points)} stretches of video are too few for t-SNE; give more clips or a smaller --hop"
        )
    perplexity = min(PERPLEXITY, max(1, (len(points) - 1) // 3))
    tsne = plotting.library("sklearn.manifold").TSNE(random_state=0, perplexity=perplexity)
    return np.asarray(tsne.fit_transform(torch.stack([point.style for point in points]).numpy()), np.float32)


def draw(panels: Sequence[tuple[str, Sequence[Point], NDArray[np.float32]]], out: Path) -> None:
    """Write the figure: a colour a speaker, a mark a kind, and a panel for each of title, styles and their places."""
    figure = plotting.sheet(1 + 6 * len(panels), 5.6)
    every = [point for _, points, _ in panels for point in points]
    speakers, kinds = sorted({point.speaker for point in every}), list(dict.fromkeys(point.kind for point in every))
    colours = plotting.library("matplotlib").colormaps["nipy_spectral"]
    colour = {speaker: colours((number + 0.5) / len(speakers)) for number, speaker in enumerate(speakers)}
    marks = {kind: MARKS[k % len(MARKS)] for k, kind in enumerate(kinds)}
    for axes, (title, points, positions) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for speaker in speakers:
            for kind, mark in marks.items():
                chosen = [point.speaker == speaker and point.kind == kind for point in points]
                if any(chosen):
                    x, y = positions[chosen].T
                    axes.scatter(x, y, s=16, marker=mark, color=[colour[speaker]], linewidths=0, alpha=0.8)
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=8)
    for speaker in speakers:
        axes.scatter([], [], s=30, color=[colour[speaker]], label=speaker)
    for kind, mark in marks.items():
        axes.scatter([], [], s=30, marker=mark, color="black", label=kind.replace("_", " "))
    # Of the last panel alone: each speaker and kind stands there once.
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", fontsize=7, frameon=False)
    plotting.save(figure, out)


def make(
    *,
    results: Sequence[Path],
    style_encoder: Path | None,
    ckpt_path: Path | None,
    root: Path,
    hop: int,
    device: str,
    out: Path,
    video_root: Sequence[Path] = (),
) -> None:
    """Write the figure of prepared clips, or of results beside the clips that they were made from.

    Args:
        results: folders that dubbench eval wrote, or none.
        style_encoder: checkpoint of the encoder behind ``style_sim``, or None.
        ckpt_path: checkpoint of a method with styles of its own, or None.
        root: folder of prepared clips; with geometry, without results.
        hop: frames from one stretch to the next, of the style encoder.
        device: name of a device.
        out: PNG.
        video_root: folders outside the results whose videos may be shown.

    Raises:
        DubbenchError: where there is no checkpoint, or checkpoints, clips and results do not go together.
    """
    plotting.refuse(hop < 1 and f"--hop is {hop}; stretches begin 1 frame apart or more")
    if (style_encoder or ckpt_path) is None:
        raise DubbenchError("nothing says whose styles are drawn; give --ckpt_path, --style_encoder or both")
    where = devices.device(device)
    givers: list[Styles] = []
    if ckpt_path is not None:
        givers.append(OwnStyles(load_model(ckpt_path, where)))
    if style_encoder is not None:
        givers.append(JudgedStyles(StyleExpert(style_encoder, where), hop))
    videos = list(filmed(root, results, video_root)) if results else []
    panels = []
    for giver in givers:
        points = list(filmed_styles(giver, videos) if results else prepared_styles(giver, root))
        panels.append((giver.title, points, plane(points)))
    draw(panels, out)
