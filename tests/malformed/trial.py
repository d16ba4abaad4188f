"""Malformed files through ``prepare``, ``score`` and ``dub``: what became of each, and what should not have."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dubbench.core.tables import read_csv
from dubbench.datamodules.clip import PreparedClip, read_manifest
from dubbench.media.video import read_frames
from tests.dubbed import checkpoint
from tests.malformed.files import Corpus, Malformed, sentence
from tests.malformed.watch import Seen, watch

PREPARED, REFUSED = "prepared", "refused"
SIZE, METRICS = 64, ("mse", "lmd")
AUDIO, SPEECH, NOWHERE = "--audio", "score --audio", Path("/dev/null")
DUB = "dub"
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
    """Take all files through all steps: prepared, as prediction, as ground truth, dubbed; sounds as a film's speech."""
    trial = Trial({file.name: Outcome(file) for file in corpus.files})
    films = {Path(file.name).stem: file.name for file in corpus.files if not file.sound}
    heard = [file.name for file in corpus.files if file.sound]
    sounds = {f"M001/{sentence(int(Path(name).stem))}": name for name in heard}
    prepared = {"prepare": ("folder", corpus.pictures, films), "prepare sound": ("mead", corpus.talk, sounds)}
    scored = {"score": (corpus.pictures, corpus.twins), "score against it": (corpus.twins, corpus.pictures)}
    _watched(
        trial,
        [_preparing(dataset, root, work / step) for step, (dataset, root, _) in prepared.items()],
        names=films | sounds,
        log=work / "prepare.log",
    )
    for step, (_, _, names) in prepared.items():
        _rows_of_prepare(trial, step, work / step, names)
    seen = _watched(
        trial,
        [_scoring(*sides, work / f"{step}.json", METRICS) for step, sides in scored.items()]
        + [
            [*_scoring(corpus.whole, corpus.whole, NOWHERE, ["mse"]), AUDIO, str(corpus.sounds / name)]
            for name in heard
        ],
        names=films | {name: name for name in heard},
        log=work / "score.log",
    )
    for step in scored:
        _rows_of_score(trial, step, work / f"{step}.json", films)
    for call, status, said in seen.verbs:
        if AUDIO in call:
            _told(trial, SPEECH, Path(call[-1]).name, status=status, said=said)
    _dubbed(trial, corpus, work)
    for name, outcome in trial.outcomes.items():
        wanted = {"prepare sound", SPEECH, DUB} if outcome.file.sound else {"prepare", *scored, DUB}
        for step in sorted(wanted - set(outcome.steps)):
            trial.fault(name, f"{step}: it is in no row")
    return trial


def _preparing(dataset: str, root: Path, out: Path) -> list[str]:
    return ["prepare", "--dataset", dataset, "--root", str(root), "--out", str(out), "--size", str(SIZE)]


def _scoring(pred: Path, target: Path, values: Path, metrics: Sequence[str]) -> list[str]:
    return ["score", "--pred", str(pred), "--target", str(target), "--metrics", *metrics, "--json", str(values)]


def _rows_of_prepare(trial: Trial, step: str, out: Path, names: Mapping[str, str]) -> None:
    if not (out / "manifest.parquet").is_file():
        return
    for row in read_csv(out / "failures.csv", ("clip", "source", "reason")):
        trial.keep(names[row["clip"]], step, row["reason"])
    for clip in read_manifest(out)["clip"]:
        trial.keep(names[clip], step, "")
        made = PreparedClip(out, clip)
        frames = len(made)
        if len(made.speech()) != 640 * frames or len(made.detected()) != frames:
            trial.fault(names[clip], "its prepared clip has sound or landmarks of another length")
        if made.frames([frames - 1]).shape != (1, SIZE, SIZE, 3):
            trial.fault(names[clip], "its prepared clip lacks its last frame")


def _rows_of_score(trial: Trial, step: str, values: Path, names: Mapping[str, str]) -> None:
    rows: dict[str, Any] = json.loads(values.read_text())["clips"] if values.is_file() else {}
    for clip, row in rows.items():
        trial.keep(names[clip], step, row["failure"])
        if not row["failure"] and row["values"].get("mse") is None:
            trial.fault(names[clip], f"{step}: neither a value nor a reason")


def _dubbed(trial: Trial, corpus: Corpus, work: Path) -> None:
    """Dub every film with a whole film's speech, and a whole film with every sound."""
    network, out = checkpoint(work / "untrained.ckpt"), work / "dubbed"
    out.mkdir()
    calls = {}
    for name, outcome in trial.outcomes.items():
        heard = outcome.file.sound
        film, sound = (corpus.whole, corpus.sounds / name) if heard else (corpus.pictures / name, corpus.whole)
        made = out / f"{name}.mp4"
        calls[made] = [DUB, "--video", str(film), "--ckpt_path", str(network), "--device", "cpu"]
        calls[made] += ["--out", str(made), AUDIO, str(sound)]
    names = {name: name for name in trial.outcomes}
    for call, status, said in _watched(trial, list(calls.values()), names=names, log=work / "dub.log").verbs:
        made = Path(call[call.index("--out") + 1])
        _told(trial, DUB, made.stem, status=status, said=said)
        if made.exists() != (status == 0):
            trial.fault(made.stem, f"{DUB} ended with {status}, and {'there is' if status else 'no'} result")
        elif not status and not sum(1 for _ in read_frames(made)):
            trial.fault(made.stem, "its dub has no frame")


def _told(trial: Trial, step: str, name: str, *, status: int, said: str) -> None:
    """What a verb for one file said: nothing that ended it, or one sentence."""
    sentences = [line for line in said.splitlines() if line.startswith("dubbench: ")]
    if status and (status != 1 or len(sentences) != 1):
        trial.fault(name, f"{step} ended with {status} and said {said}")
    trial.keep(name, step, sentences[-1] if status and sentences else "")


def _watched(trial: Trial, verbs: Sequence[Sequence[str]], *, names: Mapping[str, str], log: Path) -> Seen:
    """Run verbs until they end by themselves; a file that ends their process is taken away."""
    for _ in range(MOST):
        words = [word for verb in verbs for word in ("+", *verb)][1:]
        seen = watch(words, log)
        for clip, seconds in seen.seconds.items():
            if clip in names:
                outcome = trial.outcomes[names[clip]]
                outcome.seconds = max(outcome.seconds, seconds)
                outcome.peak = max(outcome.peak, seen.peaks[clip])
        if "Traceback" in seen.said:
            trial.fault("", seen.said[seen.said.index("Traceback") :][-2000:])
        for clip, how in seen.deaths.items():
            trial.fault(names.get(clip, clip), f"{words[0]}: {how}")
        if not seen.deaths or not all(clip in names for clip in seen.deaths):
            break
        for clip in seen.deaths:
            verbs = [verb for verb in verbs if all(Path(word).name != names[clip] for word in verb)]
            _take_away(words, names[clip], log)
    return seen


def _take_away(call: Sequence[str], name: str, log: Path) -> None:
    """Take a file out of the folders that verbs were given."""
    for path in {path for word in call if Path(word).is_absolute() for path in Path(word).rglob(name)}:
        path.replace(log.with_name(f"ended {log.stem} {name}"))


def table(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """A line a kind: files, how many were prepared and refused, the slowest and the largest."""
    kinds: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        kinds.setdefault(outcome.file.kind, []).append(outcome)
    yield f"{'kind':22}{'files':>7}{'prepared':>10}{'refused':>9}{'scored':>8}{'slowest s':>11}{'RSS MB':>9}"
    for kind, of_kind in [*kinds.items(), ("all", [each for several in kinds.values() for each in several])]:
        prepared = sum(_first(each) == PREPARED for each in of_kind)
        scored = sum(list(each.steps.values())[1:2] == [PREPARED] for each in of_kind)
        refused = sum(_first(each) not in (PREPARED, "") for each in of_kind)
        slowest, peak = max(each.seconds for each in of_kind), max(each.peak for each in of_kind)
        yield f"{kind:22}{len(of_kind):7}{prepared:10}{refused:9}{scored:8}{slowest:11.2f}{peak / 1e6:9.0f}"


def _first(outcome: Outcome) -> str:
    return next(iter(outcome.steps.values()), "")
