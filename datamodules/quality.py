"""Quality of a prepared folder's clips: where it stands, and which clips are good enough to train on."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dubbench.datamodules.clip import read_dataset
from dubbench.errors import DubbenchError
from dubbench.media import FPS

# Key of dataset.json and column of the manifest. A folder whose dataset.json has not the one has not the other either.
QUALITY = "quality"
# Columns of the manifest: the score, and what it is made of where it was computed here.
PARTS = ("sharpness", "exposure", "face_size")


def quality_record(root: Path | str) -> dict[str, Any] | None:
    """What ``dataset.json`` says of a prepared folder's quality scores: their ``name`` and ``version`` at least.

    None where the folder has no scores.
    """
    if not (Path(root) / "dataset.json").is_file():
        return None
    record = read_dataset(root).get(QUALITY)
    return dict(record) if isinstance(record, dict) and "name" in record else None


def good_enough(root: Path | str, rows: pd.DataFrame, least: float | None) -> pd.DataFrame:
    """The rows of a manifest whose quality is ``least`` or more; a line says what is left out.

    Args:
        root: prepared folder.
        rows: of its manifest.
        least: in the unit of the folder's scores, see `dubbench.datamodules.prepare.quality`; None for all rows. A clip
            without a score is left out.

    Raises:
        DubbenchError: if ``least`` is no number, the folder has no scores, or no clip is good enough.
    """
    if least is None:
        return rows
    if np.isnan(least):
        raise DubbenchError("min_quality nan is no number; give the least quality of a training clip")
    record = quality_record(root)
    if record is None or QUALITY not in rows:
        raise DubbenchError(
            f"{root} has no quality scores to hold min_quality {least:g} against; run dubbench prepare on it again "
            "with --quality own, or leave min_quality out"
        )
    scores = rows[QUALITY].to_numpy(np.float64)
    good = scores >= least
    unknown = int(np.isnan(scores).sum())
    if not good.any():
        best = "none has a score" if unknown == len(scores) else f"the best has {np.nanmax(scores):g}"
        raise DubbenchError(
            f"none of the {len(rows)} clips of {root} that are asked for has a quality ({record['name']}) of {least:g} "
            f"or more, {best}; give a lower min_quality"
        )
    if not good.all():
        from lightning.pytorch.utilities import rank_zero_warn  # takes seconds, and prepare does without

        hours = rows["frames"].to_numpy(np.float64) / FPS / 3600
        without = f", {unknown} of them without a score" if unknown else ""
        rank_zero_warn(
            f"min_quality {least:g} ({record['name']}) leaves out {int((~good).sum())} of {len(rows)} clips of {root} "
            f"({hours[~good].sum():.2f} of {hours.sum():.2f} hours){without}"
        )
    chosen: pd.DataFrame = rows[good]
    return chosen
