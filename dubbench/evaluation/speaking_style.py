"""The suite's own style encoder as the network behind the metric ``style_sim``."""

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor
from torch.nn import functional

from dubbench.core.files import sha256
from dubbench.face3d.fitting import clip_guess
from dubbench.models.load import load_kind
from dubbench.models.style_encoder.module import StyleEncoder

SHORTEST = 2


class StyleExpert:
    """A trained `StyleEncoder`, ready to compare clips.

    Args:
        path: its checkpoint, which holds the face model too.
        device: where it runs.

    Raises:
        DubbenchError: if there is no such file, or it holds another model.
    """

    def __init__(self, path: Path, device: str | torch.device = "cpu") -> None:
        model = load_kind(StyleEncoder, "style encoder", path, device)
        self.model, self.window = model, int(model.hparams["frames"])
        self._described = {"checkpoint": path.name, "sha256": sha256(path), "face_model": model.face.hash()}

    def describe(self) -> dict[str, str]:
        """File name and hash, and the hash of the face model in it, for records."""
        return self._described

    def stream(self) -> "StyleStream":
        """Begin a clip; see `dubbench.metrics.style.StyleJudgeStream`."""
        return StyleStream(self)

    @torch.inference_mode()
    def style(self, points: Tensor) -> Tensor:
        """Style [D] of consecutive frames.

        Both videos of a comparison are fitted in the same way, in closed form, to landmarks alone: a prediction has no
        prepared geometry, and what differs between two fits must be the faces.

        Args:
            points: [T, 68, 2] landmarks in pixels of the aligned square at 256, T at least 2.
        """
        places = points.to(self.model.device, torch.float32)
        face = self.model.face
        guess = clip_guess(face, places, torch.ones(len(places), dtype=torch.bool, device=places.device))
        return self.model.styles(guess.expression[None])[0].double().cpu()

    def spread(self, clips: Iterable[tuple[str, Tensor]]) -> dict[str, dict[str, float | None]]:
        """How alike the styles of one speaker's clips are, and those of different speakers: the scale of ``style_sim``.

        Args:
            clips: speaker and landmarks [T, 68, 2] of each, aligned pixels at 256; shorter ones than two frames are
                left out.

        Returns:
            ``within_speaker`` and ``between_speakers``: mean cosine of two clips' styles as ``value`` (None without a
            pair) and the number of ``pairs``. A clip's style is the mean over its windows.
        """
        speakers, styles = [], []
        for speaker, points in clips:
            windows = [piece for piece in torch.split(points, self.window) if len(piece) >= SHORTEST]
            if windows:
                speakers.append(speaker)
                styles.append(torch.stack([self.style(piece) for piece in windows]).mean(0))
        pairs: dict[str, list[float]] = {"within_speaker": [], "between_speakers": []}
        for (one, left), (other, right) in combinations(zip(speakers, styles, strict=True), 2):
            cosine = float(functional.cosine_similarity(left, right, dim=0))
            pairs["within_speaker" if one == other else "between_speakers"].append(cosine)
        return {
            name: {"value": fmean(values) if values else None, "pairs": len(values)} for name, values in pairs.items()
        }


class StyleStream:
    """One clip: windows follow on each other as in `dubbench.metrics.style_similarity`, and none is ever held twice."""

    def __init__(self, expert: StyleExpert) -> None:
        """Begin without a frame."""
        self._expert = expert
        self._held: tuple[Tensor, Tensor] = (torch.empty(0, 68, 2), torch.empty(0, 68, 2))
        self._fresh = 0
        self._cosines: list[float] = []

    def add(self, pred: Tensor, target: Tensor) -> None:
        """Take the next frames that have landmarks on both sides, [n, 68, 2] each, aligned pixels at 256."""
        window = self._expert.window
        for start in range(0, len(pred), window):
            pieces = pred[start : start + window], target[start : start + window]
            held = [torch.cat([old, new.cpu().float()]) for old, new in zip(self._held, pieces, strict=True)]
            self._fresh += len(pieces[0])
            if self._fresh >= window:
                surplus = self._fresh - window
                self._judge(*(side[len(side) - surplus - window : len(side) - surplus] for side in held))
                self._fresh = surplus
            # The last window may have to reach back over a whole one.
            self._held = held[0][-2 * window :], held[1][-2 * window :]

    def finish(self) -> float | None:
        """Mean cosine over the windows, the last of which ends with the clip; None below two frames."""
        count = len(self._held[0])
        if self._fresh and count >= SHORTEST:
            self._judge(*(side[-min(count, self._expert.window) :] for side in self._held))
        return fmean(self._cosines) if self._cosines else None

    def _judge(self, pred: Tensor, target: Tensor) -> None:
        left, right = (self._expert.style(side) for side in (pred, target))
        self._cosines.append(float(functional.cosine_similarity(left, right, dim=0)))
