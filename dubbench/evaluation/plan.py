"""What a run scores: the clips of a split, how they are driven, and the labels its rows carry."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pandas import DataFrame

from dubbench.datamodules.clip import ClipInfo, PreparedClip, read_manifest
from dubbench.errors import DubbenchError
from dubbench.face.alignment import SMOOTH_BY_DEFAULT
from dubbench.metrics.suite import Suite
from dubbench.protocols.pairing import pair
from dubbench.protocols.protocol import Protocol
from dubbench.protocols.selection import SPLIT, Selection, select


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
        missing: by clip that the protocol asks for and that is not scored, why.
        short: how many clips fewer than the protocol asks for the corpus has, where no list names them.
        source_root: where the corpus lies, or None for where it was.
        seed: of intervals and draws.
        size: side of the prepared frames.
        align: their alignment, a name of `dubbench.face.alignment.ALIGNMENTS`.
        misaligned: why nothing can be dubbed on them under this protocol, of `misaligned`; empty where it can.
        suite: the metrics, with their networks.
    """

    root: Path
    protocol: Protocol
    dataset: str
    split: str
    clips: list[str]
    driving: dict[str, str]
    missing: dict[str, str]
    short: int
    source_root: Path | None
    seed: int
    size: int
    align: str
    misaligned: str
    suite: Suite

    @property
    def labels(self) -> dict[str, str]:
        """The columns that all rows share; the last is a hash of what is scored: clips, and what drives them."""
        scored = "\n".join(f"{clip}<{self.driving[clip]}" if self.driving else clip for clip in self.clips)
        return {
            "dataset": self.dataset,
            "protocol": self.protocol.name,
            "protocol_hash": self.protocol.hash,
            "split_hash": sha256(scored.encode()).hexdigest()[:12],
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
    if limit is not None and limit < 1:
        raise DubbenchError(f"a limit of {limit} leaves nothing to score; give 1 or more")
    dataset = str(manifest["dataset"].iloc[0]) if len(manifest) else "nothing"
    if protocol.clips:
        chosen = _selected(protocol, dataset, manifest, split)
    else:
        chosen = _whole(protocol, manifest, split, root)
    strangers = sorted(set(only or ()) - set(chosen.clips))
    if strangers:
        raise DubbenchError(f"{strangers[0]} is not among the clips of {root} that {protocol.name} scores ({split})")
    clips = [name for name in chosen.clips if only is None or name in set(only)][:limit]
    info = PreparedClip(root, clips[0]).info
    driving = {clip: chosen.driving[clip] for clip in clips} if chosen.driving else {}
    return Run(
        root=root,
        protocol=protocol,
        dataset=dataset,
        split=split,
        clips=clips,
        driving=driving,
        missing=chosen.missing,
        short=chosen.short,
        source_root=source_root,
        seed=seed,
        size=info.size,
        align=info.align,
        misaligned=misaligned(protocol, info, root),
        suite=suite,
    )


def misaligned(protocol: Protocol, info: ClipInfo, root: Path) -> str:
    """Why a protocol lets nothing dub the clips of a folder: they are aligned in another way than it says.

    Less smoothing is another way, too: an alignment that trembles with the mouth tells of it.

    Args:
        protocol: which says how.
        info: of a clip.
        root: the folder.

    Returns:
        A sentence; empty where nothing is wrong.
    """
    if info.align == protocol.align and info.smooth >= SMOOTH_BY_DEFAULT[protocol.align]:
        return ""
    less = f" --smooth {info.smooth:g}" if info.align == protocol.align else ""
    return (
        f"{root} was prepared with --align {info.align}{less}, and {protocol.name} dubs clips of --align "
        f"{protocol.align}; prepare the corpus with that into another folder, or choose another --protocol"
    )


def _whole(protocol: Protocol, manifest: DataFrame, split: str, root: Path) -> Selection:
    """All clips of a split."""
    of_split = manifest[manifest["split"] == split].sort_values("clip")
    if not len(of_split):
        have = ", ".join(sorted(set(manifest["split"]))) or "none at all"
        raise DubbenchError(f"{root} has no clips of the split {split!r} but of {have}; choose with --split")
    speakers = {str(clip): str(who) for clip, who in zip(of_split["clip"], of_split["speaker"], strict=True)}
    driving = pair(speakers, protocol.pairing_seed) if protocol.driving == "cross" else {}
    return Selection(list(speakers), driving, {})


def _selected(protocol: Protocol, dataset: str, manifest: DataFrame, split: str) -> Selection:
    """The clips that the protocol names of this corpus."""
    if split != SPLIT:
        raise DubbenchError(f"{protocol.name} scores clips of the split {SPLIT}, not {split}; leave --split out")
    if dataset not in protocol.clips:
        raise DubbenchError(
            f"{protocol.name} scores clips of {', '.join(protocol.clips)}, not {dataset}; choose another --protocol"
        )
    prepared = {
        str(clip): (str(who), str(part))
        for clip, who, part in zip(manifest["clip"], manifest["speaker"], manifest["split"], strict=True)
    }
    seed = protocol.pairing_seed if protocol.driving == "cross" else None
    return select(dataset, protocol.clips[dataset], prepared, seed)


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
