"""Protocols: named files that fix every choice an evaluation has."""

import json
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

from dubbench.errors import DubbenchError
from dubbench.metrics.definitions import DEFINITIONS
from dubbench.names import resolve


@dataclass(frozen=True)
class Protocol:
    """How clips are driven, cropped and scored.

    Attributes:
        name: the file's stem.
        driving: ``own`` the clip's own speech; ``cross`` another clip's, by the pairing rule of `dubbench.pairing`.
        pairing_seed: orders the clips of a cross pairing.
        references: frames of the clip that a method may see: ``first_frame`` only frame 0, as RADIO's Table 1;
            ``native`` as the method's own window says.
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
    """

    name: str
    driving: Literal["own", "cross"]
    pairing_seed: int
    references: Literal["first_frame", "native"]
    crop: Literal["nose"]
    size: int
    border: Literal["black", "reflect"]
    length: Literal["equal", "prefix"]
    sync: Literal["landmark", "pipeline", "precropped"]
    embedder: str
    pool_minimum: int
    result_crf: int
    metrics: dict[str, int]

    @property
    def hash(self) -> str:
        """Twelve hex digits over every choice; the name is no choice."""
        choices = {key: value for key, value in asdict(self).items() if key != "name"}
        return sha256(json.dumps(choices, sort_keys=True).encode()).hexdigest()[:12]


def load(name: str | Path) -> Protocol:
    """Read a protocol by its short name or file.

    Raises:
        DubbenchError: if there is none such, a key is missing, unknown or has a wrong value, or a metric is asked for
            in a version that this package does not compute.
    """
    path = Path(resolve("protocol", str(name)))
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise DubbenchError(f"{path} is not a protocol file: {error}") from error
    return parse(path.stem, values, str(path))


def parse(name: str, values: Any, where: str) -> Protocol:  # noqa: ANN401
    """Check the contents of a protocol file; raises as `load` does."""
    wanted = {field.name for field in fields(Protocol)} - {"name"}
    if not isinstance(values, dict) or set(values) != wanted:
        given = set(values) if isinstance(values, dict) else set()
        wrong = [f"lacks {key}" for key in sorted(wanted - given)]
        wrong += [f"has the unknown {key}" for key in sorted(given - wanted, key=str)]
        raise DubbenchError(f"protocol {where} {' and '.join(wrong)}; its keys are {', '.join(sorted(wanted))}")
    for key, kind in get_type_hints(Protocol).items():
        if key != "name":
            _check(values[key], kind, f"protocol {where}: {key}")
    if values["size"] < 1 or values["pool_minimum"] < 2 or not 0 <= values["result_crf"] <= 51:
        raise DubbenchError(
            f"protocol {where}: size must be at least 1, pool_minimum at least 2 and result_crf within 0 to 51"
        )
    _check_metrics(values["metrics"], where)
    return Protocol(name=name, **values)


def _check(value: object, kind: Any, where: str) -> None:  # noqa: ANN401
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise DubbenchError(f"{where} is {value!r}; it can be {', '.join(get_args(kind))}")
    elif not isinstance(value, get_origin(kind) or kind) or isinstance(value, bool):
        raise DubbenchError(f"{where} is {value!r}, which is of the wrong type")


def _check_metrics(metrics: dict[Any, Any], where: str) -> None:
    if not metrics:
        raise DubbenchError(f"protocol {where} names no metric; there are {', '.join(DEFINITIONS)}")
    for metric, version in metrics.items():
        if metric not in DEFINITIONS:
            raise DubbenchError(f"protocol {where}: no metric is called {metric!r}; there are {', '.join(DEFINITIONS)}")
        if version != DEFINITIONS[metric].version:
            raise DubbenchError(
                f"protocol {where} asks for {metric} in version {version}, this package computes version "
                f"{DEFINITIONS[metric].version}; install the package that made the protocol, or change the number"
            )
