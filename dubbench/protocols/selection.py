"""Which clips of a corpus a protocol scores, and which clip's speech drives each.

The rule: of the corpus' test clips, ordered by sha256 of ``"<seed>:<clip>"``, the first ``count``. Test clips are those
that the corpus' published split file (``configs/split/<corpus>.csv``) lists one by one; where it lists none, those of
the prepared folder, so that two folders with different parts of the corpus can choose different clips.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from dubbench.core.config_names import CONFIGS
from dubbench.core.folders import composed
from dubbench.core.tables import read_csv
from dubbench.errors import DubbenchError
from dubbench.protocols.pairing import pair

SPLIT = "test"


@dataclass(frozen=True)
class Selection:
    """What a protocol scores of a prepared corpus.

    Attributes:
        clips: ids, in order.
        driving: by clip, the clip whose speech drives it; empty where each clip's own does.
        missing: by clip that the protocol asks for and that cannot be scored, why.
        short: how many clips fewer than asked for the corpus has, where no published list names them.
    """

    clips: list[str]
    driving: dict[str, str]
    missing: dict[str, str]
    short: int = 0


def draw(clips: Collection[str], count: int, seed: int) -> list[str]:
    """The first ``count`` of the clips in the rule's order, sorted by name."""
    return sorted(sorted(clips, key=lambda clip: sha256(f"{seed}:{clip}".encode()).digest())[:count])


def published(corpus: str) -> dict[str, str]:
    """Speakers by test clip, as the corpus' published split file lists them; empty where it lists none.

    Raises:
        DubbenchError: if the file is damaged.
    """
    return _test_clips(CONFIGS / "split" / f"{corpus}.csv")


@cache
def _test_clips(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    lines = read_csv(path, ("clip", "speaker", "split"))
    return {
        composed(line["clip"]): composed(line["speaker"]) for line in lines if line["clip"] and line["split"] == SPLIT
    }


def listed(corpus: str, how: Mapping[str, int]) -> list[str]:
    """Clips that a protocol asks for by the published list, whatever a folder holds; empty where there is no list."""
    return draw(published(corpus), how["count"], how["seed"])


def select(
    corpus: str, how: Mapping[str, int], prepared: Mapping[str, tuple[str, str]], pairing_seed: int | None
) -> Selection:
    """Choose among the clips of a prepared folder.

    Args:
        corpus: its name.
        how: ``count`` and ``seed``.
        prepared: speaker and split by clip.
        pairing_seed: of the cross pairing, or None where each clip's own speech drives it.

    Raises:
        DubbenchError: if not one of the clips is there, or one that the list names is prepared as another split's:
            a method may have trained on it.
    """
    speakers = dict(published(corpus)) or {clip: who for clip, (who, split) in prepared.items() if split == SPLIT}
    wanted = draw(speakers, how["count"], how["seed"])
    driving = pair({clip: speakers[clip] for clip in wanted}, pairing_seed) if pairing_seed is not None else {}
    missing = {clip: "not prepared" for clip in wanted if clip not in prepared}
    for clip in wanted:
        driver = driving.get(clip, clip)
        if clip not in missing and driver not in prepared:
            missing[clip] = f"{driver}, whose speech drives it, is not prepared"
    clips = [clip for clip in wanted if clip not in missing]
    if not clips:
        named = f" ({wanted[0]} is the first)" if wanted else ""
        raise DubbenchError(
            f"of the {how['count']} test clips of {corpus} that the protocol asks for{named} not one is prepared; "
            f"prepare them with dubbench prepare --dataset {corpus}"
        )
    strangers = [clip for clip in clips if prepared[clip][1] != SPLIT]
    if strangers:
        raise DubbenchError(
            f"{strangers[0]} was prepared for {prepared[strangers[0]][1]} and the protocol tests on it; "
            "run dubbench prepare again with --split auto"
        )
    chosen = {clip: driving[clip] for clip in clips} if driving else {}
    return Selection(clips, chosen, missing, how["count"] - len(wanted))
