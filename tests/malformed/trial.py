"""Malformed files through ``prepare`` and ``score``: what became of each, and what should not have."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dubbench.core.tables import read_csv
from dubbench.datamodules.clip import PreparedClip, read_manifest
from tests.malformed.files import Corpus, Malformed, sentence
from tests.malformed.watch import Seen, watch

PREPARED, REFUSED = "prepared", "refused"
METRICS = ("mse", "lmd")
SURPRISE = re.compile(r"\w+ in \w+\.py:\d+")
MOST = 8  # deaths of a verb's process before it is given up


@dataclass
class Outcome:
    """What became of a file: by step ``prepared`` or why it was refused, its slowest step, its most memory."""

    file: Malformed
    steps: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    peak: int = 0


@dataclass
class Trial:
    """Outcomes by file name, and faults in words."""

    outcomes: dict[str, Outcome]
    faults: list[str] = field(default_factory=list)

    def fault(self, name: str, what: str) -> None:
        """Keep what went wrong with a file."""
        kind = self.outcomes[name].file.kind if name in self.outcomes else "all"
        self.faults.append(f"{name} ({kind}): {what}")

    def keep(self, name: str, step: str, reason: str) -> None:
        """Keep what a step made of a file; an empty reason says that it was read."""
        outcome = self.outcomes[name]
        outcome.steps[step] = reason or PREPARED
        if SURPRISE.match(reason) or "Traceback" in reason:
            self.fault(name, f"{step}: {reason}")
        if reason and outcome.file.whole:
            self.fault(name, f"{step}: a whole file was refused: {reason}")


def tried(corpus: Corpus, work: Path) -> Trial:
    """Take all files through all steps."""
    trial = Trial({file.name: Outcome(file) for file in corpus.files})
    films = {Path(file.name).stem: file.name for file in corpus.files if not file.sound}
    heard = [file.name for file in corpus.files if file.sound]
    sounds = {f"M001/{sentence(int(Path(name).stem))}": name for name in heard}
    for step, dataset, root, names in (
        ("prepare", "folder", corpus.pictures, films),
        ("prepare sound", "mead", corpus.talk, sounds),
    ):
        _prepared(trial, step, words=(dataset, root, work / step), names=names)
    _scored(trial, "score", sides=(corpus.pictures, corpus.twins), names=films, work=work)
    _scored(trial, "score against it", sides=(corpus.twins, corpus.pictures), names=films, work=work)
    _driven(trial, corpus, work)
    for name, outcome in trial.outcomes.items():
        wanted = 1 + (1 if outcome.file.sound else 2)
        if len(outcome.steps) != wanted:
            trial.fault(name, f"is in no row of some step, only in those of {', '.join(outcome.steps) or 'none'}")
    return trial


def _prepared(trial: Trial, step: str, *, words: tuple[str, Path, Path], names: dict[str, str]) -> None:
    dataset, root, out = words
    call = ["prepare", "--dataset", dataset, "--root", str(root), "--out", str(out), "--size", "64"]
    _watched(trial, step, call, names=names, log=out.with_suffix(".log"))
    for row in read_csv(out / "failures.csv", ("clip", "source", "reason")):
        if row["clip"] in names:
            trial.keep(names[row["clip"]], step, row["reason"])
    for clip in read_manifest(out)["clip"]:
        if clip in names:
            trial.keep(names[clip], step, "")
            _check_prepared(trial, names[clip], PreparedClip(out, clip))


def _check_prepared(trial: Trial, name: str, clip: PreparedClip) -> None:
    """See that a prepared clip has as much of everything as it says."""
    frames = clip.info.frames
    if len(clip.speech()) != 640 * frames or len(clip.detected()) != frames:
        trial.fault(name, "its prepared clip has sound or landmarks of another length")
    if clip.frames([frames - 1]).shape[1:] != (64, 64, 3):
        trial.fault(name, "its prepared clip lacks its last frame")


def _scored(trial: Trial, step: str, *, sides: tuple[Path, Path], names: dict[str, str], work: Path) -> None:
    values = work / f"{step}.json"
    call = ["score", "--pred", str(sides[0]), "--target", str(sides[1]), "--metrics", *METRICS, "--json", str(values)]
    _watched(trial, step, call, names=names, log=work / f"{step}.log")
    clips: dict[str, Any] = json.loads(values.read_text())["clips"] if values.is_file() else {}
    for clip, row in clips.items():
        if clip in names:
            trial.keep(names[clip], step, row["failure"])


def _driven(trial: Trial, corpus: Corpus, work: Path) -> None:
    """Each sound as the speech of a whole film."""
    heard = [file.name for file in corpus.files if file.sound]
    words: list[str] = []
    for name in heard:
        pair = ["--pred", str(corpus.whole), "--target", str(corpus.whole), "--metrics", "mse", "--json", "/dev/null"]
        words += [*(["+"] if words else []), "score", *pair, "--audio", str(corpus.sounds / name)]
    if not words:
        return
    seen = _watched(trial, "score --audio", words, names={name: name for name in heard}, log=work / "audio.log")
    for call, status, said in seen.verbs:
        sentences = [line for line in said.splitlines() if line.startswith("dubbench: ")]
        if status and (status != 1 or len(sentences) != 1):
            trial.fault(Path(call[-1]).name, f"score --audio ended with {status} and said {said}")
        trial.keep(Path(call[-1]).name, "score --audio", sentences[-1] if status and sentences else "")


def _watched(trial: Trial, step: str, call: Sequence[str], *, names: dict[str, str], log: Path) -> Seen:
    """Run verbs until they end by themselves; a file that ends their process is taken away."""
    whole = Seen()
    for _ in range(MOST):
        seen = watch(call, log)
        for clip, seconds in seen.seconds.items():
            if clip in names:
                outcome = trial.outcomes[names[clip]]
                outcome.seconds = max(outcome.seconds, seconds)
                outcome.peak = max(outcome.peak, seen.peaks[clip])
        whole.verbs += seen.verbs
        if "Traceback" in seen.said:
            trial.fault("", f"{step}: {seen.said[seen.said.index('Traceback') :][-2000:]}")
        if not seen.deaths:
            break
        for clip, how in seen.deaths.items():
            trial.fault(names.get(clip, clip), f"{step}: {how}")
            if clip not in names or not _taken_away(call, names[clip], log):
                return whole
    return whole


def _taken_away(call: Sequence[str], name: str, log: Path) -> bool:
    """Take a file out of the folders that a verb was given."""
    found = [path for word in call if Path(word).is_absolute() for path in Path(word).rglob(name)]
    for path in found:
        path.replace(log.with_name(f"ended {log.stem} {name}"))
    return bool(found)


def table(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """A line a kind: files, how many were prepared and refused, the slowest and the largest."""
    kinds: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        kinds.setdefault(outcome.file.kind, []).append(outcome)
    yield f"{'kind':22}{'files':>7}{'prepared':>10}{'refused':>9}{'scored':>8}{'slowest s':>11}{'peak MB':>9}"
    for kind, of_kind in [*kinds.items(), ("all", [each for several in kinds.values() for each in several])]:
        prepared = sum(_first(each) == PREPARED for each in of_kind)
        scored = sum(list(each.steps.values())[1:2] == [PREPARED] for each in of_kind)
        refused = sum(_first(each) not in (PREPARED, "") for each in of_kind)
        slowest, peak = max(each.seconds for each in of_kind), max(each.peak for each in of_kind)
        yield f"{kind:22}{len(of_kind):7}{prepared:10}{refused:9}{scored:8}{slowest:11.2f}{peak / 1e6:9.0f}"


def _first(outcome: Outcome) -> str:
    return next(iter(outcome.steps.values()), "")
