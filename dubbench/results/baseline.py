"""Results against a baseline; only equal within tolerance passes."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, inf, isfinite, log10, nan
from pathlib import Path
from statistics import stdev

from dubbench.core.console import command, ending, print_json, show
from dubbench.core.files import write_text
from dubbench.core.foreign import short
from dubbench.core.tables import as_csv, read_csv
from dubbench.errors import DubbenchError
from dubbench.results.numbers import number
from dubbench.results.rows import COPY_REFERENCE, GROUND_TRUTH, Row, read_summary, results_folders

COLUMNS = ("model", "dataset", "protocol", "metric", "value", "atol", "better", "protocol_hash")
# The least a new row is given: repeats on one machine say nothing of the rounding of others.
DEFAULT_ATOL = {"dB": 0.05, "1": 0.002, "px@256": 0.02, "eye distances": 0.0003, "grey levels^2": 0.5}
DEVIATIONS = 3
DIGITS = 1e-5  # of a value: files hold six significant digits
Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Score:
    """One number of a baseline or of results.

    Attributes:
        value: the number; NaN where there is none.
        atol: how far off still counts as equal.
        better: ``higher`` or ``lower``.
        protocol_hash: of the protocol it was scored under.
    """

    value: float
    atol: float = 0.0
    better: str = "higher"
    protocol_hash: str = ""


def verdict(golden: Score | None, actual: Score | None) -> str:
    """Judge a number: ok, worse, better, missing, new, nan, or protocol when it was scored by other rules."""
    if actual is None:
        return "missing"
    if golden is None:
        return "new"
    if actual.value != actual.value or golden.value != golden.value:
        return "nan"
    if actual.protocol_hash != golden.protocol_hash:
        return "protocol"
    if actual.value == golden.value:  # PSNR of equal images is infinite on both sides
        return "ok"
    gain = (actual.value - golden.value) * (1 if golden.better == "higher" else -1)
    if abs(gain) <= golden.atol:
        return "ok"
    return "better" if gain > 0 else "worse"


def read_baseline(path: Path) -> dict[Key, Score]:
    """Read a baseline file.

    Raises:
        DubbenchError: if it is unreadable, malformed, or lists a row twice.
    """
    scores: dict[Key, Score] = {}
    for line in read_csv(path, COLUMNS):
        try:
            score = Score(float(line["value"]), float(line["atol"]), line["better"], line["protocol_hash"])
        except ValueError as error:
            raise DubbenchError(f"{path} holds a value or tolerance that is no number: {error}") from error
        if score.better not in ("higher", "lower") or not 0 <= score.atol < inf:
            raise DubbenchError(
                f"{path}: better must be higher or lower, and atol at least 0 and finite, in the row {short(str(line))}"
            )
        _add(scores, (line["model"], line["dataset"], line["protocol"], line["metric"]), score, path)
    return scores


def read_results(folders: Iterable[Path]) -> dict[Key, Score]:
    """Read results folders or ``summary.csv`` files; what has no good direction, as time, is left out.

    Every method gets two rows more, ``clips_failed`` and ``frames_missed``, for a mean over fewer clips or frames
    is no gain.

    Raises:
        DubbenchError: if a folder holds no results, or two rows with one key differ.
    """
    scores: dict[Key, Score] = {}
    for folder in results_folders(folders):
        found: dict[Key, Score] = {}
        counts: dict[Key, Score] = {}
        for row in read_summary(folder):
            if not row.better:
                continue
            score = Score(row.value, DEFAULT_ATOL.get(row.unit, 0.0), row.better, row.protocol_hash)
            found[row.method, row.dataset, row.protocol, row.metric] = score
            for key, value in _counts(row).items():
                known = counts.get(key)
                counts[key] = replace(value, value=max(value.value, known.value)) if known else value
        for key, score in {**found, **counts}.items():
            if key not in scores or not _alike(key, scores[key], score):
                _add(scores, key, score, folder)
    return scores


def _alike(key: Key, one: Score, other: Score) -> bool:
    """Whether two folders say the same: both ends of the scale stand in each, detected anew from the same frames."""
    if str(one) == str(other):  # as text, for NaN is unequal to itself
        return True
    slack = one.atol if key[0] in (GROUND_TRUTH, COPY_REFERENCE) else 0.0
    return one.protocol_hash == other.protocol_hash and abs(one.value - other.value) <= slack


def _counts(row: Row) -> dict[Key, Score]:
    return {
        (row.method, row.dataset, row.protocol, name): Score(float(count), 0.0, "lower", row.protocol_hash)
        for name, count in (("clips_failed", row.failed), ("frames_missed", row.missed))
    }


def _add(scores: dict[Key, Score], key: Key, score: Score, where: Path) -> None:
    if key in scores:
        raise DubbenchError(f"{where} holds {' '.join(key)} a second time; leave one of the two")
    scores[key] = score


def accept(
    path: Path,
    golden: Mapping[Key, Score],
    actual: Mapping[Key, Score],
    repeats: Sequence[Mapping[Key, Score]] = (),
) -> None:
    """Write ``actual`` as the baseline.

    Args:
        path: file of the baseline.
        golden: the old baseline, whose rows keep their tolerance where there are no repeats.
        actual: the new one.
        repeats: results of runs that count as equal, from other seeds, thread counts or machines: each row gets the
            `tolerance` that follows from them, and no less than its unit's.

    Raises:
        DubbenchError: if a value is not a number, since such a row could never pass, or a repeat lacks it.
    """
    lines = []
    for key, score in sorted(actual.items()):
        if score.value != score.value:
            raise DubbenchError(f"{' '.join(key)} has no value, so it cannot be accepted; see its run.json for why")
        others = [other[key].value if key in other else nan for other in repeats]
        if any(value != value for value in others):
            raise DubbenchError(
                f"a repeat has no value of {' '.join(key)}; --repeats takes runs of all that is accepted"
            )
        known = golden[key].atol if key in golden else score.atol
        atol = max(tolerance(score.value, others), score.atol) if others else known
        lines.append((*key, number(score.value), number(atol), score.better, score.protocol_hash))
    write_text(path, as_csv(COLUMNS, lines))


def tolerance(value: float, repeats: Sequence[float]) -> float:
    """How far from ``value`` a run may be: three standard deviations, and no less than any repeat was.

    It is rounded up to two digits, and at least what the files' six digits leave open where the repeats differ at all.
    """
    if all(other == value for other in repeats):  # infinite ones are equal, too
        return 0.0
    if not all(map(isfinite, (value, *repeats))):
        raise DubbenchError(
            f"repeats of {number(value)} gave {', '.join(map(number, repeats))}; no tolerance covers that"
        )
    spread = max(DEVIATIONS * stdev([value, *repeats]), *(abs(other - value) for other in repeats), DIGITS * abs(value))
    unit = 10.0 ** (floor(log10(spread)) - 1)
    return ceil(spread / unit - 1e-9) * unit


def compare(
    baseline: Path,
    folders: Sequence[Path],
    accepting: bool = False,
    repeats: Sequence[Path] = (),
    markdown: Path | None = None,
    document: bool = False,
) -> int:
    """Print a verdict for every row, and tell GitHub if it listens.

    Args:
        baseline: CSV with the columns model, dataset, protocol, metric, value, atol, better, protocol_hash.
        folders: results folders or ``summary.csv`` files.
        accepting: write the results as the new baseline.
        repeats: with ``accepting``, a folder or file for each run that shall count as equal.
        markdown: file to write what differs to.
        document: print one JSON document instead of lines.

    Returns:
        The exit status: 0 if every row is ok, or was accepted; else 1.

    Raises:
        DubbenchError: if a file is missing or malformed.
    """
    actual = read_results(folders)
    again = command(["compare", baseline, *folders])
    if not baseline.is_file() and not accepting:
        raise DubbenchError(f"there is no baseline {baseline}; if these results shall be it:  {again} --accept")
    golden = read_baseline(baseline) if baseline.is_file() else {}
    verdicts = {key: verdict(golden.get(key), actual.get(key)) for key in sorted(golden.keys() | actual.keys())}
    lines = [_line(key, word, golden, actual) for key, word in verdicts.items()]
    differ = sum(word != "ok" for word in verdicts.values())
    if accepting:
        accept(baseline, golden, actual, [read_results([folder]) for folder in repeats])
        end = f"{baseline} now holds {len(actual)} scores; {differ} differed from before."
    elif differ or not verdicts:
        end = f"{differ} of {len(verdicts)} scores differ. If meant:  {again} --accept"
    else:
        end = f"All {len(verdicts)} scores are as they were."
    if document:
        print_json({"rows": [_document(key, word, golden, actual) for key, word in verdicts.items()], "differ": differ})
    else:
        for line in lines:
            show("{:9}{:<48} {:>10} -> {:>10}  (atol {})".format(*line))
        show(end)
    summary = _markdown(lines, end)
    if markdown:
        write_text(markdown, summary)
    if listening := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(listening).open("a", encoding="utf-8") as file:
            file.write(summary)
    written = [baseline if accepting else None, markdown]
    ending(output=[str(path) for path in written if path], following=again if accepting else "")
    return 0 if accepting else int(differ > 0 or not verdicts)


def _document(key: Key, word: str, golden: Mapping[Key, Score], actual: Mapping[Key, Score]) -> dict[str, object]:
    """A row as ``--json`` prints it."""
    old, new = golden.get(key), actual.get(key)
    sides = {"baseline": old and old.value, "now": new and new.value, "atol": (old or new or Score(nan)).atol}
    return {**dict(zip(COLUMNS, key, strict=False)), **sides, "verdict": word}


def _line(key: Key, word: str, golden: Mapping[Key, Score], actual: Mapping[Key, Score]) -> tuple[str, ...]:
    old, new = golden.get(key), actual.get(key)
    atol = old.atol if old else new.atol if new else nan
    shown = ("nan" if score is None or score.value != score.value else number(score.value) for score in (old, new))
    return (word, " ".join(key), *shown, f"{atol:g}")


def _markdown(lines: Sequence[tuple[str, ...]], end: str) -> str:
    """A table of the differences."""
    differing = [line for line in lines if line[0] != "ok"]
    table = ["| verdict | score | baseline | now | atol |", "|---|---|---:|---:|---:|"]
    table += [f"| {' | '.join(line)} |" for line in differing]
    return "\n".join(["### dubbench compare", "", *([*table, ""] if differing else []), end, ""])
