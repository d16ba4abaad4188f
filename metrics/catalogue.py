"""What each metric is, read from the files of this folder without running them.

A metric is one file here: its `Definition` stands at the top as ``DEFINITIONS``, how it is computed below. Everything
that says something of a metric (``dubbench score --metrics``, protocols, records, leaderboards, the tables of
docs/metrics.md) takes it from `DEFINITIONS`, and `dubbench.metrics.suite` runs what stands below.

Definitions are read as text, by ``ast``: torch takes seconds to load, and what only lists metrics or reads results
shall not wait for it. A metric's file may import whatever it likes at its top; what it must not do is compute its
definition, and a file that does is told so. (Imports deferred into functions would do as well, until the first author
forgets one, and then every verb is slow without a word.)

A new metric is a file in this folder, or in a folder on ``dubbench.metrics.__path__``, such as::

    from dubbench.metrics.catalogue import Definition
    from dubbench.metrics.common.frames import PixelMetric

    DEFINITIONS = (
        Definition(
            name="mae", text="mean absolute error", unit="grey levels", better="lower", version=1, needs="pixels"
        ),
    )

    def mae(left, right):
        return (left - right).abs().mean(dim=(1, 2, 3))

    COMPUTE: dict[str, PixelMetric] = {"mae": lambda pixels: mae(*pixels.levels)}

``COMPUTE`` has a function for each name, which takes and gives what `Definition.needs` says. ``NETWORKS`` says how
networks are loaded, as `dubbench.metrics.networks.pretrained.Pretrained` by key; a network without is handed in.
``MEANS`` says how frames' values become a clip's where that is not their mean, by name as
`dubbench.metrics.common.frames.ClipMean`. ``GROUND_TRUTH`` may have functions of network and clips, see
`dubbench.metrics.suite.code.MetricCode`.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pkgutil import iter_modules
from typing import Any, Literal, get_args

from dubbench.errors import DubbenchError

Better = Literal["higher", "lower", ""]
Needs = Literal["pixels", "landmarks", "crops", "faces", "speech", "motion", "driver", "pool"]

NAME = "DEFINITIONS"


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A metric as results record it.

    Attributes:
        name: in results.
        text: the definition in one line.
        unit: what a value is measured in.
        better: the good direction; empty where there is none to compare by.
        version: raised whenever the same frames could get another value.
        needs: what it is computed on, and so what can be missing. A value a frame have ``pixels`` (every frame's crop,
            as `dubbench.metrics.common.frames.Pixels`), ``landmarks`` (frames with a face on both sides, as both sides'
            points [N, 68, 2]), ``crops`` and ``faces`` (every frame's crop, or frames with a face in the ground truth,
            as `dubbench.metrics.common.frames.Frames` and the network); functions give them as float64 [N]. A value a
            clip have ``speech`` (its faces and its speech) and ``motion`` (frames with a face on both sides), whose
            functions begin a `dubbench.metrics.common.clips.ClipStream`; and ``driver`` (how far three mouths are open,
            where another clip's speech drives it), whose functions take `dubbench.metrics.hearing.Openings`. One value
            a split has ``pool`` (all frames by
            the features of FID's Inception network, as `dubbench.metrics.common.features.Pools`).
        network: key of the network it needs in a `dubbench.metrics.suite.Suite`; empty for none.
        detector: key of the face detector it needs besides where SyncNet's official pipeline is asked for.
        order: place in tables; those without one stand at the end, by name.
        minor: whether it is left out where a table has no room for all.
        title: what the field calls it.
        reference: the implementation or equation it is held against, for docs/metrics.md like what follows.
        deviation: where it departs from that.
        reached: how close it comes in the tests, in brackets what these ask for.
    """

    name: str
    text: str
    unit: str
    better: Better
    version: int
    needs: Needs
    network: str = ""
    detector: str = ""
    order: int = 1000
    minor: bool = False
    title: str = ""
    reference: str = ""
    deviation: str = ""
    reached: str = ""

    def __post_init__(self) -> None:
        """Check what a type checker cannot, where a definition is read from text."""
        for key, kind in (("better", Better), ("needs", Needs)):
            if getattr(self, key) not in get_args(kind):
                raise DubbenchError(
                    f"{key} is {getattr(self, key)!r}; it can be {', '.join(map(repr, get_args(kind)))}"
                )
        if not self.name.isidentifier():
            raise DubbenchError(f"name is {self.name!r}; give a word of letters, digits and _")
        if type(self.version) is not int or self.version < 1:
            raise DubbenchError(f"version is {self.version!r}; give a whole number from 1 on")
        if self.needs == "pool" and self.network != "inception":
            raise DubbenchError(f"network is {self.network!r}; a pool is of the features of 'inception'")


class _Catalogue(Mapping[str, Definition]):
    """Definitions by name, in their order; read at the first question, and again when the path has changed."""

    def __getitem__(self, name: str) -> Definition:
        return _read(_path())[name][0]

    def __iter__(self) -> Iterator[str]:
        return iter(_read(_path()))

    def __len__(self) -> int:
        return len(_read(_path()))


DEFINITIONS: Mapping[str, Definition] = _Catalogue()


def module_of(name: str) -> str:
    """Full name of the module that defines and computes a metric."""
    return f"{__package__}.{_read(_path())[name][1]}"


def _path() -> tuple[str, ...]:
    return tuple(sys.modules[__package__].__path__)


@lru_cache
def _read(path: tuple[str, ...]) -> dict[str, tuple[Definition, str]]:
    """Definition and file of each metric in the folders of a path, ordered."""
    found: dict[str, tuple[Definition, str]] = {}
    for finder, module, package in iter_modules(path):
        if package or module == __name__.rpartition(".")[2]:
            continue
        spec = finder.find_spec(module, None)
        source = spec.loader.get_source(module) if spec and spec.loader else None  # type: ignore[attr-defined]
        for definition in _definitions(source or "", f"{module}.py"):
            if definition.name in found:
                raise DubbenchError(
                    f"two metrics are called {definition.name!r}, in {found[definition.name][1]}.py and {module}.py; "
                    "rename one"
                )
            found[definition.name] = definition, module
    return dict(sorted(found.items(), key=lambda item: (item[1][0].order, item[0])))


def _definitions(source: str, file: str) -> list[Definition]:
    """The definitions that a file writes down; none in a file that is no metric's."""
    if NAME not in source:
        return []
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise DubbenchError(f"metric file {file} is no Python, line {error.lineno}: {error.msg}") from error
    for statement in tree.body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id="DEFINITIONS")], value=ast.expr() as value)
                | ast.AnnAssign(target=ast.Name(id="DEFINITIONS"), value=ast.expr() as value)
            ):
                # A tuple of one that lacks its comma says what it means all the same.
                calls: list[ast.expr] = getattr(value, "elts", [value])
                return [_definition(call, file) for call in calls]
    return []


def _definition(call: ast.expr, file: str) -> Definition:
    try:
        match call:
            case ast.Call(func=ast.Name(id="Definition"), args=[], keywords=keywords):
                fields: dict[str, Any] = {str(each.arg): ast.literal_eval(each.value) for each in keywords}
            case _:
                raise ValueError("no Definition(...) by keywords")
        return Definition(**fields)
    except (ValueError, TypeError) as error:
        raise DubbenchError(
            f"metric file {file}, line {call.lineno}: a definition is read without being run, so {NAME} must be a "
            f"tuple of Definition(...) whose keywords are all literals ({error})"
        ) from error
    except DubbenchError as error:
        raise DubbenchError(f"metric file {file}, line {call.lineno}: {error}") from error
