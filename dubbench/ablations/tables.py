"""Ablations as data: which model configs are the rows of a paper's table, and what of ours measures its columns."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from dubbench.core.config_names import CONFIGS, names, read
from dubbench.core.documents import read_yaml
from dubbench.errors import DubbenchError
from dubbench.metrics.catalogue import DEFINITIONS
from dubbench.papers import PAPERS, TITLES, columns, printed

KIND = "ablation"
# Metrics that no protocol knows: a term of `dubbench validate`, and a part's cost by `dubbench speed`.
VALIDATE, SPEED = "validate", "speed"
TINY = "_tiny"
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Ablation:
    """One table of ablations, a file of ``configs/ablation``.

    Attributes:
        name: the file's stem.
        method: model config of the whole method; with ``_tiny`` after it, that for two cores.
        paper: of `dubbench.papers`.
        table: number of the table.
        rows: by printed row, the model that makes it: the method's own config or a variant, of this or another table.
        metrics: by printed column, our metric, ``validate/TERM`` or ``speed/PART/QUANTITY``.
        variants: by short name, the constructor arguments that make a model of the method's config.
        base: constructor arguments that all of these variants have in common.
        protocol: that the rows are scored under, unless the command line names one.
        split: whose clips they are scored on, unless the command line names one.
        options: constructor arguments that all rows have when the table is made, and ``--model`` does not give.
        experts: by option of ``dubbench eval``, the config that is trained first.
        tiny_experts: the same on two cores.
    """

    name: str
    method: str
    paper: str
    table: str
    rows: dict[str, str]
    metrics: dict[str, str]
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    base: dict[str, Any] = field(default_factory=dict)
    protocol: str = "first_frame"
    split: str = "test"
    options: dict[str, Any] = field(default_factory=dict)
    experts: dict[str, str] = field(default_factory=dict)
    tiny_experts: dict[str, str] = field(default_factory=dict)

    @property
    def spec(self) -> str:
        """How ``--table`` and ``dubbench leaderboard --paper`` call the table."""
        return f"{self.paper}:{self.table}"

    @property
    def title(self) -> str:
        """For a reader."""
        return f"{TITLES[self.paper]}, Table {self.table}"

    def scored(self) -> list[str]:
        """Metrics that a protocol gives."""
        return [metric for metric in self.metrics.values() if metric in DEFINITIONS]


@dataclass(frozen=True)
class Variant:
    """One model that is trained and scored, for one row or several.

    Attributes:
        name: of its folder and its rows.
        config: short name of the model config or of the table's variant.
        values: constructor arguments on top of it, by name, in groups with a dot: ``renderer.blocks``.
    """

    name: str
    config: str
    values: dict[str, Any]

    @property
    def words(self) -> list[str]:
        """Its part of a command line."""
        options = [word for name, value in self.values.items() for word in (f"--model.{name}", _word(value))]
        return ["--model", self.config, *options]


def find(name: str, table: str | None = None) -> list[Ablation]:
    """All ablations of a method, or one by its own name.

    Args:
        name: of a method or of a file in ``configs/ablation``.
        table: only this one, as ``PAPER:TABLE``.

    Raises:
        DubbenchError: if there is none such.
    """
    known = [load(stem) for stem in names(KIND)]
    methods = list(dict.fromkeys(each.method for each in known))
    found = [each for each in known if each.method == name] or [each for each in known if each.name == name]
    if not found:
        raise DubbenchError(f"no method with ablations is called {name!r}; there are {', '.join(methods)}")
    chosen = [each for each in found if table in (None, each.spec)]
    if not chosen:
        specs = ", ".join(each.spec for each in found)
        raise DubbenchError(f"{name} has no ablations in a table {table!r}; it has them in {specs}")
    return chosen


def load(name: str) -> Ablation:
    """Read a file of ``configs/ablation`` by its stem.

    Raises:
        DubbenchError: if a row, column, config or metric in it does not exist.
    """
    path = CONFIGS / KIND / f"{name}.yaml"
    values = read_yaml(path)
    wrong = set(values) - {each.name for each in fields(Ablation)}
    if wrong:
        raise DubbenchError(f"{path} has the unknown {', '.join(sorted(wrong))}")
    ablation = Ablation(name=name, **values)
    _check(ablation, path)
    return ablation


def _check(ablation: Ablation, path: Path) -> None:
    if ablation.paper not in PAPERS:
        raise DubbenchError(f"{path}: no paper is called {ablation.paper!r}; there are {', '.join(PAPERS)}")
    if ablation.split not in SPLITS:
        raise DubbenchError(f"{path}: there is no split {ablation.split!r}; there are {', '.join(SPLITS)}")
    known = {
        "row": [row.row for row in printed(ablation.paper) if row.table == ablation.table],
        "column": [column.name for column in columns(ablation.paper, ablation.table)],
        "model": names("model"),
    }
    given = {"row": ablation.rows, "column": ablation.metrics, "model": ablation.rows.values()}
    for what, wanted in given.items():
        for name in wanted:
            if name not in known[what]:
                raise DubbenchError(f"{path}: {ablation.title} has no {what} {name!r}; there are {known[what]}")
    kind, defaults = _defaults(ablation.method)
    for own, changes in {"base": ablation.base, **ablation.variants}.items():
        for name in _flat(changes):
            if name not in defaults:
                raise DubbenchError(f"{path}: {own} sets {name!r}, which {kind} does not take")
    for metric in ablation.metrics.values():
        if metric not in DEFINITIONS and metric.partition("/")[0] not in (VALIDATE, SPEED):
            raise DubbenchError(f"{path}: no metric is called {metric!r}")


def variants(ablation: Ablation, tiny: bool) -> dict[str, Variant]:
    """What is trained for each printed row.

    Args:
        ablation: the table.
        tiny: put each row's settings on top of the method's tiny config: all that any variant of the method's tables
            changes, so that a row of two tables is one model.
    """
    changed = [changes for other in find(ablation.method) for changes in other.variants.values()]
    settings = list(dict.fromkeys(name for changes in changed for name in _flat(changes)))
    found = {}
    for row, config in ablation.rows.items():
        values = dict(ablation.options)
        if tiny:
            values = {**_settings(config, settings), **values}
        suffix = "".join(f"-{value}" for value in ablation.options.values())
        base = ablation.method + TINY if tiny else config
        found[row] = Variant(config + suffix + (TINY if tiny else ""), base, values)
    return found


def _settings(config: str, wanted: Sequence[str]) -> dict[str, Any]:
    """Constructor arguments as a config has them, or as they are by default."""
    _, defaults = _defaults(config)
    values = {**defaults, **_flat(read("model", config)["init_args"])}
    return {name: values[name] for name in wanted}


def _defaults(config: str) -> tuple[str, dict[str, Any]]:
    """Name of a config's class, and its constructor's defaults."""
    module, _, kind = read("model", config)["class_path"].rpartition(".")
    parameters = inspect.signature(getattr(import_module(module), kind)).parameters
    return kind, _flat({name: parameter.default for name, parameter in parameters.items()})


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Options by name, those of a group as ``group.name``."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        group = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        found |= _flat(group, f"{prefix}{name}.") if isinstance(group, Mapping) else {prefix + name: group}
    return found


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
