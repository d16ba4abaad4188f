"""What the demo does, step by step: each step a command that a user could type, and what is known of it being done."""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from dubbench import __version__
from dubbench.core.files import write_json
from dubbench.demo.recipes import ALIGN, PREPARING, PROTOCOL, RANKING, SCORING, SIZE, Recipe
from dubbench.training.common_options import network_words

State = Literal["new", "begun", "stale", "finished"]


@dataclass(frozen=True)
class Step:
    """A command, and a record of how far it came.

    Attributes:
        what: it does, for people.
        words: the verb and its words.
        proof: what is there once it is done.
        record: file that says what was begun and finished.
        stamp: of all that decides the outcome, but how long a training is and where things lie.
        batches: length of a training; 0 for others.
        seconds: that it is expected to take.
        unit: of what its progress counts.
        discards: folder that must not be there where it is done anew.
    """

    what: str
    words: Sequence[str]
    proof: Path
    record: Path
    stamp: str
    seconds: float
    batches: int = 0
    unit: str = "clips"
    discards: Path | None = None

    def state(self) -> State:
        """``finished``; ``begun``, so that it goes on; ``stale``: what was begun is of no use; or ``new``."""
        found = self._found()
        if not found:
            return "new"
        if found["stamp"] != self.stamp or found["batches"] > self.batches:
            return "stale"
        done = found["finished"] and found["batches"] == self.batches and self.proof.exists()
        return "finished" if done else "begun"

    def begin(self) -> None:
        """Write down what begins; what an earlier run left goes, where this one cannot go on with it."""
        if self.state() == "stale" and self.discards is not None:
            shutil.rmtree(self.discards, ignore_errors=True)
        self._write(finished=False)

    def finish(self) -> None:
        """Write down that it is done."""
        self._write(finished=True)

    def plain(self) -> dict[str, Any]:
        """As values of JSON; `from_plain` reads them."""
        paths = {name: str(getattr(self, name)) for name in ("proof", "record")}
        return {**asdict(self), **paths, "discards": str(self.discards) if self.discards else None}

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> "Step":
        """Read what `plain` gave."""
        paths = {name: Path(values[name]) for name in ("proof", "record")}
        return cls(**{**values, **paths, "discards": Path(values["discards"]) if values["discards"] else None})

    def _found(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self.record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if {"stamp", "batches", "finished"} <= found.keys() else {}

    def _write(self, *, finished: bool) -> None:
        write_json(self.record, {"stamp": self.stamp, "batches": self.batches, "finished": finished})


@dataclass(frozen=True)
class Chain:
    """Steps that one process does, one after the other.

    Attributes:
        name: of its log.
        title: for people.
        steps: in order.
    """

    name: str
    title: str
    steps: Sequence[Step]

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return all(step.state() == "finished" for step in self.steps)

    @property
    def seconds(self) -> float:
        """That its steps are expected to take, those that are finished left out."""
        return sum(step.seconds for step in self.steps if step.state() != "finished")


@dataclass(frozen=True)
class Plan:
    """All of a demo.

    Attributes:
        corpus: makes and prepares the corpus.
        methods: a chain each.
        board: writes the leaderboard.
        results: folders of results.
        page: the leaderboard's page.
        table: the leaderboard as CSV.
    """

    corpus: Chain
    methods: Sequence[Chain]
    board: Step
    results: Sequence[Path]
    page: Path
    table: Path

    @property
    def steps(self) -> list[Step]:
        """All of them, in order."""
        chains = [self.corpus, *self.methods]
        return [*(step for chain in chains for step in chain.steps), self.board]


def plan(out: Path, recipes: Mapping[str, Recipe], minutes: float, workers: int) -> Plan:
    """Lay out a demo.

    Args:
        out: folder of everything that it makes.
        recipes: of the methods wanted.
        minutes: length that the trainings are chosen for.
        workers: processes that prepare clips.
    """
    clips = out / "prepared"
    corpus = _step(
        "make the corpus and prepare it",
        ["prepare", "--dataset", "demo", "--size", str(SIZE), "--align", ALIGN, "--geometry", "mesh"],
        ["--root", str(out / "corpus"), "--out", str(clips), "--workers", str(workers)],
        proof=clips / "manifest.parquet",
        record=out / "steps" / "corpus.json",
        seconds=PREPARING,
    )
    methods = [
        Chain(name, recipe.title, _method(out, name, recipe=recipe, minutes=minutes, corpus=corpus, beside=recipes))
        for name, recipe in recipes.items()
    ]
    results = [out / "results" / name for name in recipes]
    page, table = out / "leaderboard.html", out / "leaderboard.csv"
    board = _step(
        "write the leaderboard",
        ["leaderboard"],
        [*map(str, results), "--out", str(table), "--html", str(page)],
        proof=page,
        record=out / "steps" / "leaderboard.json",
        after=[chain.steps[-1] for chain in methods],
        seconds=RANKING,
    )
    return Plan(Chain("corpus", "corpus", [corpus]), methods, board, results=results, page=page, table=table)


def _method(out: Path, name: str, *, recipe: Recipe, minutes: float, corpus: Step, beside: Iterable[str]) -> list[Step]:
    """The trainings of a method, then its scoring; rows that another method's scoring has already are taken over."""
    data, clips = ["--dataset", "demo"], ["--dataset.root", str(out / "prepared")]
    steps, before = [], corpus
    for number, training in enumerate(recipe.trainings, 1):
        batches, between = training.length(minutes)
        run = out / "trainings" / (name if len(recipe.trainings) == 1 else f"{name}-{number}")
        previous = [training.previous, str(before.proof)] if training.previous else []
        before = _step(
            training.what,
            [
                *("fit", "--model", training.model, *training.words, "--model.batch_size", str(training.batch_size)),
                # Methods are trained side by side, a core each.
                *(*data, "--dataset.val_windows", "0", "--dataset.num_workers", "0"),
                *("--dataset.windows_per_epoch", str(between * training.batch_size)),
                # The same numbers on every run: some kernels of GPUs add in any order.
                *("--trainer.accelerator", "cpu", "--trainer.log_every_n_steps", "10"),
                *("--trainer.enable_model_summary", "false"),
            ],
            [
                *(*clips, *previous, "--model.iterations", str(batches)),
                *("--out", str(run), "--ckpt_path", "last"),
            ],
            proof=run / "checkpoints" / "last.ckpt",
            record=out / "steps" / f"{run.name}.json",
            after=[before],
            seconds=training.seconds * batches / training.steps,
            batches=batches,
            unit="batches",
            discards=run,
        )
        steps.append(before)
    last, results = recipe.trainings[-1], out / "results" / name
    reuse = [word for other in beside if other != name for word in ("--reuse", str(results.with_name(other)))]
    scoring = _step(
        "dub the test clips and score them",
        ["eval", "--model", last.model, *network_words(last.words), *data, "--protocol", PROTOCOL, "--device", "cpu"],
        [
            *(*clips, "--source_root", str(out / "corpus")),
            *("--ckpt_path", str(before.proof), "--out", str(results), *reuse),
        ],
        proof=results / "summary.csv",
        record=out / "steps" / f"{name}-results.json",
        after=[before],
        seconds=SCORING,
        discards=results,
    )
    return [*steps, scoring]


def _step(
    what: str,
    settings: Sequence[str],
    places: Sequence[str],
    *,
    proof: Path,
    record: Path,
    seconds: float,
    after: Sequence[Step] = (),
    batches: int = 0,
    unit: str = "clips",
    discards: Path | None = None,
) -> Step:
    """A step whose stamp is of its settings, of the steps that it builds on, and of the package."""
    before = [(step.stamp, step.batches) for step in after]
    stamp = sha256(json.dumps([__version__, settings, before]).encode()).hexdigest()
    return Step(
        what,
        [*settings, *places],
        proof=proof,
        record=record,
        stamp=stamp,
        seconds=seconds,
        batches=batches,
        unit=unit,
        discards=discards,
    )
