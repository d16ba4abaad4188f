"""What a run scores: the clips of a split, how they are driven, and the labels its rows carry."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from dubbench.datamodules.clip import PreparedClip, read_manifest
from dubbench.errors import DubbenchError
from dubbench.metrics.suite import Suite
from dubbench.pairing import pair
from dubbench.protocols import Protocol


@dataclass(frozen=True)
class Run:
    """What all rows of a run share.

    Attributes:
        root: folder of prepared clips.
        protocol: how clips are scored.
        dataset: corpus name.
        split: name.
        clips: ids, in order.
        driving: under a cross protocol, the clip whose speech drives each; else empty.
        source_root: where the corpus lies, or None for where it was.
        seed: of intervals and draws.
        size: side of the prepared frames.
        suite: the metrics, with their networks.
    """

    root: Path
    protocol: Protocol
    dataset: str
    split: str
    clips: list[str]
    driving: dict[str, str]
    source_root: Path | None
    seed: int
    size: int
    suite: Suite

    @property
    def labels(self) -> dict[str, str]:
        """The columns that all rows share."""
        return {
            "dataset": self.dataset,
            "protocol": self.protocol.name,
            "protocol_hash": self.protocol.hash,
            "split_hash": sha256("\n".join(self.clips).encode()).hexdigest()[:12],
        }


def plan(
    root: Path,
    protocol: Protocol,
    split: str,
    seed: int,
    limit: int | None,
    only: Sequence[str] | None,
    source_root: Path | None,
    suite: Suite,
) -> Run:
    """Choose the clips, and what drives them; arguments and errors as `dubbench.evaluation.evaluate` has them."""
    manifest = read_manifest(root)
    of_split = manifest[manifest["split"] == split].sort_values("clip")
    names = [str(clip) for clip in of_split["clip"]]
    if not names:
        have = ", ".join(sorted(set(manifest["split"]))) or "none at all"
        raise DubbenchError(f"{root} has no clips of the split {split!r} but of {have}; choose with --split")
    if limit is not None and limit < 1:
        raise DubbenchError(f"a limit of {limit} leaves nothing to score; give 1 or more")
    strangers = sorted(set(only or ()) - set(names))
    if strangers:
        raise DubbenchError(f"{strangers[0]} is not a clip of the split {split!r} of {root}")
    chosen = [name for name in names if only is None or name in set(only)][:limit]
    driving: dict[str, str] = {}
    if protocol.driving == "cross":
        driving = pair(
            {str(c): str(s) for c, s in zip(of_split["clip"], of_split["speaker"], strict=True)}, protocol.pairing_seed
        )
    dataset = str(of_split["dataset"].iloc[0])
    size = PreparedClip(root, chosen[0]).info.size
    return Run(root, protocol, dataset, split, chosen, driving, source_root, seed, size, suite)


def refuse_other(out: Path, run: Run) -> None:
    """Raise `DubbenchError` if ``out`` holds results of another task: they must not mix in one folder."""
    try:
        old = json.loads((out / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for key, value in (("dataset", run.dataset), ("protocol_hash", run.protocol.hash), ("split", run.split)):
        if old.get(key) != value:
            word = key.replace("_", " ")
            raise DubbenchError(f"{out} holds results of {word} {old.get(key)}, not {value}; give another --out")
