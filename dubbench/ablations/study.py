"""The steps of an ablation study: experts, trainings, scores; each is done once, and a failure stops no other."""

import json
import tempfile
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from lightning import seed_everything
from rich.console import Console

from dubbench.ablations.tables import SPEED, VALIDATE, Ablation, Variant
from dubbench.core.config_names import read, value_of
from dubbench.core.devices import device
from dubbench.core.files import no_room, write_json, write_text
from dubbench.errors import DubbenchError, beneath
from dubbench.evaluation.evaluate import evaluate
from dubbench.evaluation.experts import experts
from dubbench.metrics.catalogue import DEFINITIONS
from dubbench.models.load import load_model
from dubbench.protocols.protocol import Protocol
from dubbench.protocols.selection import SPLIT
from dubbench.results.rows import Row, read_summary
from dubbench.speed import measure as speed
from dubbench.speed.clip import find_clip, shortened
from dubbench.training import lightning_cli
from dubbench.training.checkpoints import CHECKPOINT

FRAMES, REPEATS = 50, 3
NAN = float("nan")


@dataclass(frozen=True)
class Budget:
    """What all variants of a study share.

    Attributes:
        dataset: short name of the data config.
        steps: training batches of every variant.
        expert_steps: training batches of every expert.
        batch_size: windows a batch, or None for the models' own.
        seed: of everything.
        tiny: whether the variants are those of the tiny config.
        data: words for the data module.
        model: words for every variant's constructor.
        trainer: words for the trainer.
    """

    dataset: str
    steps: int
    expert_steps: int
    batch_size: int | None
    seed: int
    tiny: bool
    data: list[str] = field(default_factory=list)
    model: list[str] = field(default_factory=list)
    trainer: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """The prepared folder, as the command line or the data config says."""
        given = value_of(self.data, "--dataset.root") or value_of(self.data, "--data.root")
        return Path(given or read("data", self.dataset)["init_args"]["root"])


class Value(NamedTuple):
    """What a row got in a column.

    Attributes:
        value: the number.
        low: lower end of its interval; NaN for none.
        high: upper end.
    """

    value: float
    low: float = NAN
    high: float = NAN


@dataclass
class Outcome:
    """One row of a table: what a variant got, or why it got nothing.

    Attributes:
        table: the ablation.
        row: printed name.
        variant: what made it.
        values: by printed column.
        absent: by column, why it has no value.
        parameters: that inference runs.
        clips: that were scored.
        lost: clips that could not be scored.
        failure: why the variant has no values, else empty.
    """

    table: Ablation
    row: str
    variant: Variant
    values: dict[str, Value] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    parameters: int = 0
    clips: int = 0
    lost: int = 0
    failure: str = ""


class Study:
    """The steps of one study in one folder; what an earlier run finished is not done again."""

    def __init__(self, budget: Budget, out: Path, console: Console, on: str = "auto", limit: int | None = None) -> None:
        """Take a folder for a study.

        Args:
            budget: of all trainings.
            out: folder of everything.
            console: where progress is told.
            on: name of a device.
            limit: score only the first clips.

        Raises:
            DubbenchError: if the folder holds a study with another budget, or the device cannot be used.
        """
        self.budget, self.out, self.console, self.on, self.limit = budget, out, console, on, limit
        self.device = device(on)
        self.failures: dict[str, str] = {}
        self.scored: dict[tuple[str, str], list[str]] = {}
        self.trainings: list[str] = []
        self.kept: set[str] = set()
        self._claim()

    def expect(self, tables: Iterable[Ablation], rows: Iterable[Outcome]) -> None:
        """Be told all that will be trained, so that each training can say which of how many it is."""
        judges = [config for table in tables for config in self._experts(table).values()]
        self.trainings = list(dict.fromkeys([*judges, *(row.variant.name for row in rows)]))

    def train_experts(self, table: Ablation) -> None:
        """Train the judges that a table's variants learn from or are scored by; raises as ``dubbench fit`` does."""
        for config in self._experts(table).values():
            self._fit(config, ["--model", config], self.budget.expert_steps, batch_size=None)

    def train(self, outcome: Outcome) -> None:
        """Train a row's variant, or go on with it."""
        self._do(outcome, "train", self._train)

    def measure(self, outcome: Outcome) -> None:
        """Fill the columns that no protocol scores."""
        self._do(outcome, "measure", self._measure)

    def score(self, rows: Sequence[Outcome], rules: Protocol) -> None:
        """Score each row of a table, then write all that went well as one results folder, and fill its columns."""
        judges, split = self._judges(rows[0].table), rows[0].table.split
        for place, outcome in enumerate(rows, 1):
            name = outcome.variant.name
            self.console.rule(f"score {name} under {rules.name} ({place} of {len(rows)})", align="left")
            self._do(outcome, "score", lambda outcome: self._score([outcome.variant.name], rules, split, judges))
        good = [outcome for outcome in rows if not outcome.failure]
        if not good:
            return
        scored = self.scored.setdefault((rules.name, split), [])
        scored += [outcome.variant.name for outcome in good if outcome.variant.name not in scored]
        folder = self._score(scored, rules, split, judges)
        found = {(row.method, row.metric): row for row in read_summary(folder)}
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        for outcome in good:
            _fill(outcome, found, record)

    def _claim(self) -> None:
        """Write the budget down; another one's trainings must not be taken for this one's."""
        path, own = self.out / "budget.json", asdict(self.budget)
        if path.is_file():
            old = json.loads(path.read_text(encoding="utf-8"))
            for key, value in own.items():
                if old.get(key) != value:
                    raise DubbenchError(
                        f"{self.out} holds ablations with {key} {old.get(key)}, not {value}; give another --out"
                    )
        write_json(path, own)

    def _do(self, outcome: Outcome, what: str, step: Callable[[Outcome], object]) -> None:
        """Do a step unless the variant has failed before; a failure is kept with its traceback."""
        name = outcome.variant.name
        if name not in self.failures:
            (self.out / name / "error.txt").unlink(missing_ok=True)
            try:
                step(outcome)
            except Exception as error:
                if no_room(error):
                    raise
                self.failures[name] = f"{what}: {_reason(error)}"
                write_text(self.out / name / "error.txt", traceback.format_exc())
                self.console.print(f"{name} failed, {self.failures[name]}", style="bold", markup=False)
        outcome.failure = self.failures.get(name, "")

    def _train(self, outcome: Outcome) -> None:
        experts_of_it = {
            key: lightning_cli.kept(self.out / config)
            for key, config in self._experts(outcome.table).items()
            if read("model", outcome.variant.config)["init_args"].get(key)
        }
        name = outcome.variant.name
        words = [*outcome.variant.words, *_options("--model.", experts_of_it), *self.budget.model]
        self._fit(name, words, self.budget.steps, self.budget.batch_size)
        outcome.parameters = load_model(self._weights(name)).parameter_count()

    def _fit(self, name: str, model: list[str], steps: int, batch_size: int | None) -> None:
        done = self.out / name / "trained.json"
        if done.is_file() and self._weights(name).is_file():
            self.kept.add(name)
            return
        place = f" ({self.trainings.index(name) + 1} of {len(self.trainings)})" if name in self.trainings else ""
        self.console.rule(f"train {name}{place}", align="left")
        run = {"seed_everything": self.budget.seed, "out": self.out / name, "ckpt_path": "last"}
        size = {} if batch_size is None else {"batch_size": batch_size}
        words = [*model, *self._data(), *_options("--data.", size), *_options("--model.", {"iterations": steps})]
        words += [*_options("--", run), "--trainer.enable_model_summary", "false", *self._trainer()]
        lightning_cli.fit(words)
        write_json(done, {"batches": steps, "words": words})

    def _measure(self, outcome: Outcome) -> None:
        for column, metric in outcome.table.metrics.items():
            way, _, name = metric.partition("/")
            if way == VALIDATE:
                outcome.values[column] = Value(self._kept(outcome, VALIDATE, self._validated)[name])
            elif way == SPEED:
                found = self._kept(outcome, SPEED, self._timed)
                outcome.values[column] = Value(
                    found[name], found.get(f"{name}_low", NAN), found.get(f"{name}_high", NAN)
                )

    def _kept(
        self, outcome: Outcome, what: str, compute: Callable[[str, list[str]], dict[str, float]]
    ) -> dict[str, float]:
        """What was measured once, from its file."""
        name = outcome.variant.name
        path = self.out / name / f"{what}.json"
        if not path.is_file():
            self.console.rule(f"{what} {name}", align="left")
            write_json(path, compute(name, outcome.variant.words))
        found: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def _validated(self, name: str, words: list[str]) -> dict[str, float]:
        """Losses on held-out windows, by name."""
        run = {"ckpt_path": self._weights(name), "seed_everything": self.budget.seed}
        words = [*words, *self.budget.model, *self._data(), *_options("--", run), *self._trainer()]
        cli = lightning_cli.validate(words)
        return {key: float(value) for key, value in cli.trainer.callback_metrics.items()}

    def _timed(self, name: str, words: list[str]) -> dict[str, float]:
        """Milliseconds a frame and millions of parameters, by part."""
        model = load_model(self._weights(name)).to(self.device).eval()
        with tempfile.TemporaryDirectory() as folder:
            clip = shortened(find_clip(self.budget.root, None, FRAMES), FRAMES, Path(folder))
            taken = speed.measure(model, clip, REPEATS)
        found: dict[str, float] = {}
        for cost in (taken.total, *taken.parts):
            times = {"ms": cost.seconds, "ms_low": cost.low, "ms_high": cost.high}
            found |= {f"{cost.part}/{key}": 1000 * seconds for key, seconds in times.items()}
            found[f"{cost.part}/parameters"] = cost.parameters / 1e6
        return found

    def _score(self, names: Iterable[str], rules: Protocol, split: str, judges: Mapping[str, Path]) -> Path:
        """Score variants, or read what was scored before; returns the results folder, which holds one split's."""
        folder = rules.name if split == SPLIT else f"{rules.name}-{split}"
        files = {name: self._weights(name) for name in dict.fromkeys(names)}
        seed_everything(self.budget.seed, verbose=False)
        return evaluate(
            self.budget.root,
            {name: load_model(path).to(self.device).eval() for name, path in files.items()},
            out=self.out / "results" / folder,
            protocol=rules,
            split=split,
            checkpoints=files,
            seed=self.budget.seed,
            limit=self.limit,
            device=str(self.device),
            networks=experts(judges.get("sync_expert"), judges.get("style_encoder"), self.device),
        )

    def _experts(self, table: Ablation) -> dict[str, str]:
        return table.tiny_experts if self.budget.tiny else table.experts

    def _judges(self, table: Ablation) -> dict[str, Path]:
        """Checkpoints of the experts that a metric of the table asks for."""
        wanted = {DEFINITIONS[metric].network for metric in table.scored()}
        return {key: lightning_cli.kept(self.out / name) for key, name in self._experts(table).items() if key in wanted}

    def _weights(self, name: str) -> Path:
        return self.out / name / CHECKPOINT

    def _data(self) -> list[str]:
        return ["--dataset", self.budget.dataset, *self.budget.data]

    def _trainer(self) -> list[str]:
        kind, _, number = self.on.partition(":")
        if kind == "auto":
            return self.budget.trainer
        devices = {"devices": f"[{number}]"} if number else {}
        chosen = {"accelerator": "gpu" if kind == "cuda" else kind, **devices}
        return [*_options("--trainer.", chosen), *self.budget.trainer]


def _options(prefix: str, values: Mapping[str, Any]) -> list[str]:
    return [word for key, value in values.items() for word in (prefix + key, str(value))]


def _reason(error: BaseException) -> str:
    """A told error's sentence wherever it lies among the causes, else the first line of what was raised."""
    told = beneath(error, DubbenchError)
    return str(told) if told else f"{type(error).__name__}: {(str(error) or 'no reason given').splitlines()[0]}"


def _fill(outcome: Outcome, found: Mapping[tuple[str, str], Row], record: Mapping[str, Any]) -> None:
    """Put a summary's rows into a row's columns, with the reason where there is no value."""
    name = outcome.variant.name
    own = record["methods"][name]
    outcome.lost = len(own["failed"])
    outcome.clips = own["scored"]
    if not outcome.clips:
        outcome.failure = f"score: none of {outcome.lost} clips, the first because {next(iter(own['failed'].values()))}"
        return
    for column, metric in outcome.table.metrics.items():
        row = found.get((name, metric))
        if row is not None and row.value == row.value:
            outcome.values[column] = Value(row.value, row.ci_low, row.ci_high)
        elif metric in DEFINITIONS:
            reasons = {**own["pooled_without_value"], **record["not_computed"]}
            outcome.absent[column] = reasons.get(metric, f"the protocol {record['protocol']} does not compute {metric}")
