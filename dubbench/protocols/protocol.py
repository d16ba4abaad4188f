"""Protocols: named files that fix every choice an evaluation has."""

import json
from dataclasses import MISSING, asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from dubbench.core.config_names import resolve
from dubbench.core.documents import read_yaml
from dubbench.core.foreign import short
from dubbench.core.links import stays
from dubbench.errors import DubbenchError
from dubbench.metrics.catalogue import DEFINITIONS
from dubbench.metrics.common.options import SyncRule
from dubbench.protocols.selection import listed

BASE, MORE, PARTS = "base", "more_metrics", "parts"
NAMED = 20


@dataclass(frozen=True)
class Protocol:
    """How clips are driven, cropped and scored.

    Attributes:
        name: the file's stem.
        driving: ``own`` the clip's own speech; ``cross`` another clip's, by the rule of `dubbench.protocols.pairing`.
        pairing_seed: orders the clips of a cross pairing.
        clips: by corpus, how many clips of its test split are scored and the seed that draws them, by the rule of
            `dubbench.protocols.selection`; where no corpus is named, the whole of whatever split is asked for.
        references: frames of the clip that a method may see: ``first_frame`` only frame 0, as RADIO's Table 1;
            ``native`` as the method's paper has it, or its own window where it says nothing.
        crop: region that pixel metrics see; ``nose`` is the crop of RADIO's supplement B.
        size: side of the crop in pixels.
        border: what lies beyond the source frame, in prediction and ground truth alike.
        length: ``equal`` lets a video differ from its clip by one frame and fails it beyond that; ``prefix`` scores
            the frames that both have.
        sync: how SyncNet gets to see faces: ``landmark`` tracks of face meshes, ``pipeline`` S3FD's as in the official
            code, ``precropped`` whole frames.
        embedder: pretrained file behind CSIM.
        pool_minimum: frames of a split below which FID is not reported.
        result_crf: x264 quality of the videos that are written; also what the noise floor is measured with.
        metrics: names and versions of the metrics.
        align: how the clips are aligned that methods dub, a name of `dubbench.face.alignment.ALIGNMENTS`: ``ffhq`` in
            the papers' square, which moves with the mouth; ``upper`` in one that hangs on eyes and nose alone, smoothed
            as `prepare` does by default. Files that do not say it mean ``ffhq``. Metrics look at FFHQ's squares either
            way, so that finished videos have the same values.
    """

    name: str
    driving: Literal["own", "cross"]
    pairing_seed: int
    clips: dict[str, dict[str, int]]
    references: Literal["first_frame", "native"]
    crop: Literal["nose"]
    size: int
    border: Literal["black", "reflect"]
    length: Literal["equal", "prefix"]
    sync: SyncRule
    embedder: str
    pool_minimum: int
    result_crf: int
    metrics: dict[str, int]
    align: Literal["ffhq", "upper"] = "ffhq"

    @property
    def hash(self) -> str:
        """Twelve hex digits over every choice and the metrics' definitions; the name is no choice."""
        choices = {key: value for key, value in asdict(self).items() if key != "name"}
        choices["metrics"] = {
            name: [version, DEFINITIONS[name].text, DEFINITIONS[name].unit, DEFINITIONS[name].better]
            for name, version in self.metrics.items()
        }
        choices["clips"] = {corpus: [how, listed(corpus, how)] for corpus, how in self.clips.items()}
        return sha256(json.dumps(choices, sort_keys=True).encode()).hexdigest()[:12]


def load(name: str | Path) -> Protocol:
    """Read a protocol by its short name or file.

    Raises:
        DubbenchError: if there is none such, it consists of several, a key is missing, unknown or has a wrong value, or
            a metric is asked for in a version that this package does not compute.
    """
    path = Path(resolve("protocol", str(name)))
    values = _values(path)
    if isinstance(values, dict) and PARTS in values:
        parts = ", ".join(Path(part).stem for part in _parts(values, path))
        raise DubbenchError(f"{path.stem} consists of several protocols; name one of {parts}")
    return parse(path.stem, values, str(path))


def load_all(name: str | Path) -> list[Protocol]:
    """The protocols that a short name or file stands for: those it lists as ``parts``, else itself.

    Raises:
        DubbenchError: as `load` does, or if ``parts`` is no list of names.
    """
    path = Path(resolve("protocol", str(name)))
    values = _values(path)
    if not (isinstance(values, dict) and PARTS in values):
        return [parse(path.stem, values, str(path))]
    return [load(part) for part in _parts(values, path)]


def _parts(values: dict[str, Any], path: Path) -> list[str]:
    parts = values[PARTS]
    if set(values) != {PARTS} or not isinstance(parts, list) or not parts or len(set(map(str, parts))) < len(parts):
        raise DubbenchError(f"protocol {path}: parts is a list of different protocols, and nothing stands beside it")
    return [_beside(str(part), path) for part in parts]


def _values(path: Path, above: tuple[Path, ...] = ()) -> Any:  # noqa: ANN401
    """Contents of a file over those of the file that it names as ``base``; more metrics stand behind that one's."""
    try:
        values = read_yaml(path)
    except DubbenchError as error:
        raise DubbenchError(f"{path} is not a protocol file: {error}") from error
    if not isinstance(values, dict) or BASE not in values:
        return values
    base = Path(_beside(str(values.pop(BASE)), path))
    if base.resolve() in (*above, path.resolve()):
        raise DubbenchError(f"protocol {path} stands on itself by way of {base}; name another base")
    under = _values(base, (*above, path.resolve()))
    if not isinstance(under, dict):
        return under
    more = values.pop(MORE, None)
    if more is not None:
        values["metrics"] = _with_more(under.get("metrics"), more, twice="metrics" in values, path=path)
    return {**under, **values}


def _with_more(metrics: object, more: object, *, twice: bool, path: Path) -> dict[Any, Any]:
    """The metrics of a base and those that a file adds; hashes know the whole list and not who wrote which part."""
    if twice:
        raise DubbenchError(f"protocol {path} has both metrics and {MORE}; name them all, or those that the base lacks")
    if not isinstance(more, dict) or not more or not isinstance(metrics, dict):
        raise DubbenchError(f"protocol {path}: {MORE} names metrics with their versions, beside those of its base")
    if both := sorted(str(name) for name in more if name in metrics):
        raise DubbenchError(f"protocol {path}: {MORE} names {short(both[0])}, which its base has already; leave it out")
    return {**metrics, **more}


def _beside(name: str, path: Path) -> str:
    """Path of a protocol that another one names: a short name, or a file beside it."""
    if name.isidentifier():
        return resolve("protocol", name)
    if not stays(name):
        raise DubbenchError(f"protocol {path} names {short(name)}; name a file beside it, or a protocol's short name")
    return str(path.parent / name)


def parse(name: str, values: Any, where: str) -> Protocol:  # noqa: ANN401
    """Check the contents of a protocol file; raises as `load` does."""
    wanted = {field.name: field.default for field in fields(Protocol) if field.name != "name"}
    given = set(values) if isinstance(values, dict) else set()
    lacks = {name for name, default in wanted.items() if name not in given and default is MISSING}
    if not isinstance(values, dict) or lacks or given - wanted.keys():
        lacking, unknown = (", ".join(sorted(map(str, keys))[:NAMED]) for keys in (lacks, given - wanted.keys()))
        wrong = [*([f"lacks {lacking}"] if lacking else []), *([f"has the unknown {unknown}"] if unknown else [])]
        raise DubbenchError(
            f"protocol {where} {' and '.join(wrong)}; begin it with base: first_frame and change what shall differ "
            f"({', '.join(sorted(wanted))})"
        )
    for key, kind in get_type_hints(Protocol).items():
        if key in given:
            _check(values[key], kind, f"protocol {where}: {key}")
    if values["size"] < 1 or values["pool_minimum"] < 2 or not 0 <= values["result_crf"] <= 51:
        raise DubbenchError(
            f"protocol {where}: size must be at least 1, pool_minimum at least 2 and result_crf within 0 to 51"
        )
    for corpus, how in values["clips"].items():
        _check_clips(how, f"protocol {where}: clips of {corpus}")
    _check_metrics(values["metrics"], where)
    return Protocol(name=name, **values)


def _check(value: object, kind: Any, where: str) -> None:  # noqa: ANN401
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise DubbenchError(f"{where} is {repr(value)[:80]}; it can be {', '.join(get_args(kind))}")
    elif not isinstance(value, get_origin(kind) or kind) or isinstance(value, bool):
        raise DubbenchError(f"{where} is {repr(value)[:80]}, which is of the wrong type")


def _check_clips(how: object, where: str) -> None:
    if (
        not isinstance(how, dict)
        or set(how) != {"count", "seed"}
        or any(type(value) is not int for value in how.values())
    ):
        raise DubbenchError(f"{where} need the numbers count and seed, and nothing else")
    if how["count"] < 1:
        raise DubbenchError(f"{where}: count is {how['count']}; it must be at least 1")


def _check_metrics(metrics: dict[Any, Any], where: str) -> None:
    if not metrics:
        raise DubbenchError(f"protocol {where} names no metric; there are {', '.join(DEFINITIONS)}")
    for metric, version in metrics.items():
        if metric not in DEFINITIONS:
            raise DubbenchError(
                f"protocol {where}: no metric is called {short(metric)}; there are {', '.join(DEFINITIONS)}"
            )
        if version != DEFINITIONS[metric].version:
            raise DubbenchError(
                f"protocol {where} asks for {metric} in version {short(version)}, this package computes version "
                f"{DEFINITIONS[metric].version}; install the package that made the protocol, or change the number"
            )
