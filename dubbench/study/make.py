"""An opinion study as a folder: one page, its videos under names that say nothing, and the key beside the folder."""

import hmac
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from dubbench import __version__
from dubbench.core.files import atomic_folder, write_json, write_text
from dubbench.core.pages import policy
from dubbench.core.progress import tracked
from dubbench.errors import DubbenchError
from dubbench.figures.shown import MethodVideos
from dubbench.study.design import design
from dubbench.study.questions import FORM, QUESTIONS, SCALE
from dubbench.study.video import bare_copy

DIGITS = 12


@dataclass(frozen=True)
class StudyFolder:
    """What was made.

    Attributes:
        page: file to open.
        key: file that says which video is whose.
        methods: labels.
        clips: ids.
        left_out: clips that not every method has.
        encoded: videos that browsers would not have played.
        per_rater: videos a rater.
    """

    page: Path
    key: Path
    methods: list[str]
    clips: list[str]
    left_out: list[str]
    encoded: int
    per_rater: int


def key_path(out: Path) -> Path:
    """Where the key of a study in ``out`` lies: beside it, since ``out`` is what raters get."""
    return out.with_name(f"{out.name}.key.json")


def make(
    rows: Sequence[MethodVideos],
    out: Path,
    *,
    questions: Sequence[str] = ("visual", "sync", "realness"),
    raters: int = 30,
    per_rater: int | None = None,
    clips: int | None = None,
    seed: int = 0,
    title: str = "Opinion study",
) -> StudyFolder:
    """Write ``out/index.html`` and ``out/videos``, and the key beside ``out``.

    Names are hashes under a secret drawn here, so that neither page nor files tell who made a video, not even to
    somebody who has the results.

    Args:
        rows: the methods.
        out: folder to make.
        questions: keys of `QUESTIONS`.
        raters: for how many there shall be an order.
        per_rater: videos a rater, None for all; see `dubbench.study.design.design`.
        clips: how many of the clips, drawn by the seed; None for all.
        seed: of orders and clips.
        title: of the page.

    Raises:
        DubbenchError: if ``out`` exists, no clip is there of every method, or numbers do not go together.
    """
    out = out.resolve()
    if out.exists():
        raise DubbenchError(f"{out} exists; answers to it need its key, so give another --out, or remove both")
    if raters < 1:
        raise DubbenchError(f"--raters {raters} leaves nobody to ask; give 1 or more")
    common, left_out = _clips(rows, clips, seed)
    orders = design(len(rows), len(common), raters=raters, per_rater=per_rater, seed=seed)
    secret = secrets.token_hex(32)
    names = {(m, c): _name(secret, row.label, clip) for m, row in enumerate(rows) for c, clip in enumerate(common)}
    study = _name(secret, "study", title)
    with atomic_folder(out) as temporary:
        (temporary / "videos").mkdir()
        encoded = 0
        for (m, c), name in tracked(sorted(names.items(), key=lambda pair: pair[1]), "copying videos"):
            video = temporary / "videos" / f"{name}.mp4"
            encoded += bare_copy(rows[m].videos[common[c]], video)
            os.utime(video, (0, 0))
        items = sorted(names.values())
        page = {
            "study": study,
            "version": __version__,
            "title": title,
            "scale": SCALE,
            "questions": [asdict(QUESTIONS[key]) for key in questions],
            "seed": seed,
            "items": items,
            "orders": [[items.index(names[item]) for item in order] for order in orders],
        }
        write_text(temporary / "index.html", _page(page))
        owners = {names[m, c]: {"method": rows[m].label, "clip": common[c]} for m, c in names}
        key = {
            "form": FORM,
            "study": study,
            "secret": secret,
            "methods": [row.label for row in rows],
            "items": owners,
            "questions": list(questions),
            "raters": raters,
            "per_rater": len(orders[0]),
            "seed": seed,
            "version": __version__,
        }
        write_json(key_path(out), key)
    labels = [row.label for row in rows]
    return StudyFolder(
        page=out / "index.html",
        key=key_path(out),
        methods=labels,
        clips=common,
        left_out=left_out,
        encoded=encoded,
        per_rater=len(orders[0]),
    )


def _clips(rows: Sequence[MethodVideos], count: int | None, seed: int) -> tuple[list[str], list[str]]:
    """The clips that every row has, some of them if told so, and those that are left out."""
    if not rows:
        raise DubbenchError("there is no method to ask about; give results folders with videos")
    every = sorted({clip for row in rows for clip in row.videos})
    common = [clip for clip in every if all(clip in row.videos for row in rows)]
    if not common:
        raise DubbenchError(
            f"no clip has a video of each of {', '.join(row.label for row in rows)}; give results of one split"
        )
    if count is not None:
        if not 0 < count <= len(common):
            some = f"give 2 to {len(common)}" if len(common) > 1 else "a study needs two clips; give results with more"
            raise DubbenchError(f"--clips {count} cannot be drawn from {len(common)}; {some}")
        drawn = np.random.default_rng(seed).choice(len(common), count, replace=False)
        chosen = [common[k] for k in sorted(drawn.tolist())]
        return chosen, [clip for clip in every if clip not in common]
    return common, [clip for clip in every if clip not in common]


def _name(secret: str, *parts: str) -> str:
    return hmac.new(bytes.fromhex(secret), "\0".join(parts).encode(), sha256).hexdigest()[:DIGITS]


def _page(content: Mapping[str, Any]) -> str:
    """The template with the study in it; ``<`` is escaped so that no title can end the script."""
    template = (files("dubbench.study") / "page.html").read_text(encoding="utf-8")
    style, script = (template.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0] for tag in ("style", "script"))
    page = template.replace("@POLICY@", policy(script, style))
    return page.replace("@STUDY@", json.dumps(content).replace("<", "\\u003c"))
