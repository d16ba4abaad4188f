"""Raters' answer files brought together with a study's key; what cannot be used is told, never dropped in silence."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dubbench.core.foreign import read_json, short
from dubbench.errors import DubbenchError
from dubbench.study.questions import FORM, SCALE


class Rating(NamedTuple):
    """One answer.

    Attributes:
        rater: number.
        method: label.
        clip: id.
        question: key.
        value: 1 to 5.
        position: of the video in the rater's order, from 1.
        total: videos in that order.
    """

    rater: int
    method: str
    clip: str
    question: str
    value: int
    position: int
    total: int


@dataclass
class Gathered:
    """What answer files gave.

    Attributes:
        ratings: of all raters.
        questions: keys, in the study's order.
        methods: labels, in the study's order.
        raters: numbers of those whose answers count.
        notes: a sentence for everything that is not as it should be.
        counts: files by what they are: ``complete``, ``incomplete``, ``double``, ``foreign``, ``damaged``.
    """

    ratings: list[Rating] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    raters: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("complete", "incomplete", "double", "foreign", "damaged"), 0)
    )


def read_key(path: Path) -> dict[str, Any]:
    """Read the key that `dubbench.study.make.make` wrote.

    Raises:
        DubbenchError: if it is none.
    """
    try:
        key: dict[str, Any] = read_json(path)
        known = key["form"] == FORM and all({"method", "clip"} <= item.keys() for item in key["items"].values())
        lists = key["study"], key["questions"], key["methods"], key["raters"], key["per_rater"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise DubbenchError(
            f"{path} is no study's key ({error}); dubbench study make writes one beside the page"
        ) from error
    if not known or not all(lists):
        raise DubbenchError(f"{path} is a study's key of another version; score it with dubbench {key.get('version')}")
    return key


def gather(places: Iterable[Path], key: Mapping[str, Any]) -> Gathered:
    """Read answers to a study.

    Of a rater's several files the one that was saved last counts. Incomplete ones count with what they have.

    Args:
        places: files, or folders of ``*.json``.
        key: see `read_key`.

    Raises:
        DubbenchError: if there is no file, or none that counts.
    """
    paths = [path for place in places for path in (sorted(place.glob("*.json")) if place.is_dir() else [place])]
    if not paths:
        raise DubbenchError("there is no answer file; give those that the raters saved, or their folder")
    found = Gathered(questions=list(key["questions"]), methods=list(key["methods"]))
    latest: dict[int, tuple[Path, dict[str, Any]]] = {}
    for path in paths:
        content = _read(path, key, found)
        if content is None:
            continue
        rater = int(content["rater"])
        if rater in latest:
            path, content = _later(latest[rater], (path, content), found)
        latest[rater] = path, content
    for rater, (path, content) in sorted(latest.items()):
        _take(rater, path, content=content, key=key, found=found)
    if not found.ratings:
        raise DubbenchError(f"not one rating counts; {'; '.join(found.notes) or 'the files are empty'}")
    return found


def _read(path: Path, key: Mapping[str, Any], found: Gathered) -> dict[str, Any] | None:
    """A file's content if it answers this study; else a note."""
    try:
        content: dict[str, Any] = read_json(path)
        foreign = content["study"] != key["study"] or any(item["id"] not in key["items"] for item in content["items"])
        if not foreign:
            _check(content, key)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        found.counts["damaged"] += 1
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        found.notes.append(f"{path} is left out: it is damaged or no answer file ({reason})")
        return None
    if foreign:
        found.counts["foreign"] += 1
        found.notes.append(
            f"{path} is left out: it answers another study ({short(content['study'])}, not {key['study']})"
        )
        return None
    return content


def _check(content: Mapping[str, Any], key: Mapping[str, Any]) -> None:
    if content["form"] != FORM:
        raise ValueError(f"form {short(content['form'])}, not {FORM}")
    if not 1 <= int(content["rater"]) <= key["raters"]:
        raise ValueError(f"rater {short(content['rater'])} of {key['raters']}")
    for name in ("saved", "started"):
        str(content[name])
    names = [item["id"] for item in content["items"]]
    if len(names) != len(set(names)):
        raise ValueError("a video twice")
    for item in content["items"]:
        for question, value in item["answers"].items():
            if question not in key["questions"] or type(value) is not int or not 1 <= value <= len(SCALE):
                raise ValueError(f"{short(question)} of {item['id']} is {short(value)}")
        if not 1 <= int(item["position"]) <= key["per_rater"]:
            raise ValueError(f"{item['id']} at {short(item['position'])} of {key['per_rater']}")


def _later(
    one: tuple[Path, dict[str, Any]], other: tuple[Path, dict[str, Any]], found: Gathered
) -> tuple[Path, dict[str, Any]]:
    """The one that was saved last."""
    earlier, later = sorted((one, other), key=lambda each: (str(each[1]["saved"]), str(each[0])))
    found.counts["double"] += 1
    people = ", begun at another time: another person?" if one[1]["started"] != other[1]["started"] else ""
    found.notes.append(f"{earlier[0]} is left out: rater {one[1]['rater']} saved {later[0].name} after it{people}")
    return later


def _take(rater: int, path: Path, content: Mapping[str, Any], key: Mapping[str, Any], found: Gathered) -> None:
    questions: Sequence[str] = key["questions"]
    whole = [item for item in content["items"] if all(question in item["answers"] for question in questions)]
    complete = len(whole) == key["per_rater"]
    found.counts["complete" if complete else "incomplete"] += 1
    if not complete:
        found.notes.append(f"{path} is incomplete: {len(whole)} of {key['per_rater']} videos; they count")
    found.raters.append(rater)
    for item in content["items"]:
        owner = key["items"][item["id"]]
        for question, value in item["answers"].items():
            found.ratings.append(
                Rating(
                    rater=rater,
                    method=owner["method"],
                    clip=owner["clip"],
                    question=question,
                    value=value,
                    position=int(item["position"]),
                    total=key["per_rater"],
                )
            )
