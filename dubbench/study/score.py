"""Mean opinion scores, paired differences, agreement, drift: with intervals over raters and clips."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from dubbench.results.rows import CONFIDENCE
from dubbench.study.answers import Rating

RESAMPLES = 2000
NONE = float("nan")


@dataclass(frozen=True)
class Estimate:
    """One line of the scores.

    Attributes:
        statistic: ``mean``; ``difference`` of two methods' means; ``drift``, the mean of the second half of raters'
            orders less that of the first; or ``alpha``, Krippendorff's with ordinal distances.
        question: key.
        method: label; empty for drift and alpha.
        against: label of the method that is subtracted; empty but for differences.
        value: NaN where there is none.
        ci_low: lower end of the 95 % interval; NaN for alpha.
        ci_high: upper end.
        ratings: that went in.
        raters: who gave them.
        clips: that they are of.
    """

    statistic: str
    question: str
    method: str
    against: str
    value: float
    ci_low: float
    ci_high: float
    ratings: int
    raters: int
    clips: int


def estimates(
    ratings: Sequence[Rating], questions: Sequence[str], methods: Sequence[str], seed: int = 0
) -> list[Estimate]:
    """All scores of a study.

    Intervals are percentile bootstraps over raters and clips at once: both are drawn with replacement, a rating weighs
    as often as its rater and its clip were drawn (Owen 2007, pigeonhole bootstrap), and all methods share the draws, so
    a difference is paired. Of a single rater or clip only the other is drawn.

    Args:
        ratings: of all raters.
        questions: keys, in order.
        methods: labels, in order.
        seed: of the draws.
    """
    found = []
    for question in questions:
        own = [rating for rating in ratings if rating.question == question]
        table = _Table(own, seed)
        present = [method for method in methods if any(rating.method == method for rating in own)]
        found += [table.mean(question, method) for method in present]
        found += [table.difference(question, one, other) for one, other in combinations(present, 2)]
        found.append(table.drift(question))
        agreement = krippendorff(_units(own))
        found.append(_estimate("alpha", question, value=agreement, ends=(NONE, NONE), ratings=own))
    return found


class _Table:
    """Ratings of one question with the draws that all of its estimates share."""

    def __init__(self, ratings: Sequence[Rating], seed: int) -> None:
        self.ratings = ratings
        self.raters = sorted({rating.rater for rating in ratings})
        self.clips = sorted({rating.clip for rating in ratings})
        draw = np.random.default_rng(seed)
        self.weights = [
            draw.multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(np.float64)
            for count in (len(self.raters), len(self.clips))
        ]

    def mean(self, question: str, method: str) -> Estimate:
        def of(rating: Rating) -> bool:
            return rating.method == method

        chosen = [rating for rating in self.ratings if of(rating)]
        draws = self._means(of)
        value, ends = self._plain(of), _ends(draws)
        return _estimate("mean", question, method=method, value=value, ends=ends, ratings=chosen)

    def difference(self, question: str, one: str, other: str) -> Estimate:
        chosen = [rating for rating in self.ratings if rating.method in (one, other)]
        sides = [lambda rating, name=name: rating.method == name for name in (one, other)]
        value = self._plain(sides[0]) - self._plain(sides[1])
        draws = self._means(sides[0]) - self._means(sides[1])
        ends = _ends(draws)
        return _estimate("difference", question, method=one, other=other, value=value, ends=ends, ratings=chosen)

    def drift(self, question: str) -> Estimate:
        def late(rating: Rating) -> bool:
            return 2 * rating.position > rating.total

        def early(rating: Rating) -> bool:
            return not late(rating)

        value = self._plain(late) - self._plain(early)
        draws = self._means(late) - self._means(early)
        return _estimate("drift", question, value=value, ends=_ends(draws), ratings=self.ratings)

    def _plain(self, wanted: Callable[[Rating], bool]) -> float:
        values = [rating.value for rating in self.ratings if wanted(rating)]
        return float(np.mean(values)) if values else NONE

    def _means(self, wanted: Callable[[Rating], bool]) -> NDArray[np.float64]:
        """Means [RESAMPLES] over draws; NaN where a draw has no rating."""
        total = np.zeros((len(self.raters), len(self.clips)))
        count = np.zeros_like(total)
        rows = {rater: k for k, rater in enumerate(self.raters)}
        columns = {clip: k for k, clip in enumerate(self.clips)}
        for rating in self.ratings:
            if wanted(rating):
                total[rows[rating.rater], columns[rating.clip]] += rating.value
                count[rows[rating.rater], columns[rating.clip]] += 1
        of_raters, of_clips = self.weights
        sums, counts = ((of_raters @ table * of_clips).sum(1) for table in (total, count))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(sums / counts, np.float64)


def _ends(draws: NDArray[np.float64]) -> tuple[float, float]:
    kept = draws[~np.isnan(draws)]
    if not len(kept):
        return NONE, NONE
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(kept, [tail, 1 - tail], method="closest_observation")
    return float(low), float(high)


def _estimate(
    statistic: str,
    question: str,
    *,
    method: str = "",
    other: str = "",
    value: float,
    ends: tuple[float, float],
    ratings: Sequence[Rating],
) -> Estimate:
    """A line of the scores, with the counts of the ratings that went in."""
    return Estimate(
        statistic=statistic,
        question=question,
        method=method,
        against=other,
        value=value,
        ci_low=ends[0],
        ci_high=ends[1],
        ratings=len(ratings),
        raters=len({rating.rater for rating in ratings}),
        clips=len({rating.clip for rating in ratings}),
    )


def _units(ratings: Sequence[Rating]) -> list[list[int]]:
    """The values that each video got."""
    units: dict[tuple[str, str], list[int]] = {}
    for rating in ratings:
        units.setdefault((rating.method, rating.clip), []).append(rating.value)
    return list(units.values())


def krippendorff(units: Sequence[Sequence[int]]) -> float:
    """Krippendorff's alpha with ordinal distances (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability").

    1 is full agreement, 0 what chance gives.

    Args:
        units: ratings of each thing that was rated, by whomever; a thing with a single rating says nothing.

    Returns:
        Alpha; NaN if no unit has two ratings, or all of them are equal.
    """
    paired = [unit for unit in units if len(unit) > 1]
    levels = sorted({value for unit in paired for value in unit})
    place = {value: k for k, value in enumerate(levels)}
    coincidences = np.zeros((len(levels), len(levels)))
    for unit in paired:
        counts = np.bincount([place[value] for value in unit], minlength=len(levels)).astype(float)
        coincidences += (np.outer(counts, counts) - np.diag(counts)) / (len(unit) - 1)
    totals = coincidences.sum(0)
    # Between two grades lie all ratings of the grades between them, and half of those of the two.
    middles = np.cumsum(totals) - totals / 2
    distances = (middles[:, None] - middles) ** 2
    expected = (np.outer(totals, totals) * distances).sum()
    if not expected:
        return NONE
    return float(1 - (totals.sum() - 1) * (coincidences * distances).sum() / expected)
