"""Which clip is for training, validation or test: published files, then the corpus' own, then a hash of the speaker."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from dubbench.core.folders import composed
from dubbench.core.tables import read_csv
from dubbench.datamodules.sources import RawClip
from dubbench.errors import DubbenchError

SPLITS = ("train", "val", "test")
PUBLISHED = Path(__file__).parent.parent / "configs" / "split"


def assign(dataset: str, clips: Sequence[RawClip], rule: str = "auto") -> dict[str, str]:
    """Give every clip its split.

    Args:
        dataset: corpus name, by which the published file ``configs/split/<dataset>.csv`` is found.
        clips: the corpus.
        rule: ``auto`` takes the published file if there is one, else what the corpus itself says of a clip;
            ``speaker`` hashes speakers (identity-disjoint); ``clip`` hashes clip ids; ``train``, ``val`` and ``test``
            put all clips there; anything else is a CSV file of the published form. What neither a file nor the corpus
            settles goes by its speaker's hash.

    Returns:
        ``train``, ``val`` or ``test`` for every clip id; it never depends on which other clips there are.

    Raises:
        DubbenchError: if the file is missing or malformed.
    """
    if rule in SPLITS:
        return dict.fromkeys((clip.clip for clip in clips), rule)
    if rule == "clip":
        return {clip.clip: by_hash(clip.clip) for clip in clips}
    file = _file(dataset, rule)
    if rule == "auto" and file is None:
        return {clip.clip: clip.official or by_hash(clip.speaker) for clip in clips}
    of_clip, of_speaker = _read(file)
    return {c.clip: of_clip.get(c.clip) or of_speaker.get(c.speaker) or by_hash(c.speaker) for c in clips}


def by_hash(name: str) -> str:
    """Split of a name: 80 % of all names are ``train``, 10 % ``val``, 10 % ``test``."""
    tenth = int.from_bytes(sha256(name.encode(errors="surrogateescape")).digest()[:8], "big") % 10
    return "val" if tenth == 8 else "test" if tenth == 9 else "train"


def _file(dataset: str, rule: str) -> Path | None:
    """The CSV file that a rule names, or None if speakers are hashed."""
    if rule == "speaker":
        return None
    if rule == "auto":
        published = PUBLISHED / f"{dataset}.csv"
        return published if published.is_file() else None
    if not Path(rule).is_file():
        known = ", ".join(("auto", "speaker", "clip", *SPLITS))
        raise DubbenchError(f"the split file {rule} does not exist; --split takes {known} or a CSV file")
    return Path(rule)


def _read(path: Path | None) -> tuple[dict[str, str], dict[str, str]]:
    """Splits by clip and by speaker (rows with an empty clip) that a file lists."""
    if path is None:
        return {}, {}
    of_clip: dict[str, str] = {}
    of_speaker: dict[str, str] = {}
    for line in read_csv(path, ("clip", "speaker", "split")):
        if line["split"] not in SPLITS:
            raise DubbenchError(f"{path} names the split {line['split']!r}; splits are {', '.join(SPLITS)}")
        listed, name = (of_clip, line["clip"]) if line["clip"] else (of_speaker, line["speaker"])
        if composed(name) in listed:
            raise DubbenchError(f"{path} lists {name} twice")
        listed[composed(name)] = line["split"]
    return of_clip, of_speaker
