"""Whether two methods differ: a paired bootstrap over the clips that both have values for."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dubbench.results.rows import BLOCK, CONFIDENCE, RESAMPLES

SEED = 0
ALPHA = 1 - CONFIDENCE
# With fewer pairs even one sign throughout is no evidence: six flips of a fair coin agree with probability 0.03.
MINIMUM = 6
ROUNDING = 1e-12
DEFINITION = (
    "Each method is compared with the best of its table, metric by metric, over the clips that both have values for. "
    "The clips' differences, centred at zero and widened by sqrt(n / (n - 1)), are resampled "
    f"{RESAMPLES} times (seed {SEED}); p is the share of resamples, the observed one counted in, whose mean is at "
    "least as far from zero as the observed mean difference (two-sided). p is corrected by Holm's method over the "
    f"comparisons of one metric in one table; from {ALPHA:.2f} on the two are not distinguishable, which is not the "
    f"same as equal. Fewer than {MINIMUM} common clips are not tested, nor are metrics with one value over all frames "
    "(fid, kid), nor infinite values. The best is chosen by the same clips, and clips of one speaker count as "
    "independent: p is rather too small than too large."
)


@dataclass(frozen=True)
class Comparison:
    """A method beside the best of its table by one metric.

    Attributes:
        clips: that both have values for.
        difference: mean over these clips of the method's value less the best's; NaN without a clip.
        p: of a difference as large by chance; NaN where it is not tested.
        adjusted: p corrected for the other comparisons by this metric.
        note: why it is not tested; empty where it is.
    """

    clips: int
    difference: float
    p: float = float("nan")
    adjusted: float = float("nan")
    note: str = ""

    @property
    def alike(self) -> bool:
        """Whether it was tested and cannot be told from the best."""
        return self.adjusted >= ALPHA


def compare(best: Mapping[str, float], others: Sequence[Mapping[str, float]], seed: int = SEED) -> list[Comparison]:
    """Compare methods with the best one over the clips that both have.

    Args:
        best: values by clip.
        others: the same of each other method.
        seed: of the resampling; comparisons over equally many clips see the same resamples.

    Returns:
        One for each of ``others``, with p corrected over all of them.
    """
    differences = [_differences(best, other) for other in others]
    found = [Comparison(len(own), float(own.mean()) if len(own) else float("nan")) for own in differences]
    alike: defaultdict[int, list[int]] = defaultdict(list)
    for index, own in enumerate(differences):
        if len(own) < MINIMUM:
            found[index] = replace(found[index], note=f"only {len(own)} common clips")
        elif not np.isfinite(own).all():
            found[index] = replace(found[index], difference=float("nan"), note="infinite values")
        else:
            alike[len(own)].append(index)
    for indices in alike.values():
        p_values = permutation_p_values(np.stack([differences[index] for index in indices]), seed)
        for index, p in zip(indices, p_values, strict=True):
            found[index] = replace(found[index], p=float(p))
    tested = [index for indices in alike.values() for index in indices]
    for index, p in zip(tested, holm([found[index].p for index in tested]), strict=True):
        found[index] = replace(found[index], adjusted=p)
    return found


def _differences(best: Mapping[str, float], other: Mapping[str, float]) -> NDArray[np.float64]:
    common = [clip for clip in best if clip in other]
    with np.errstate(invalid="ignore"):
        return np.array([other[clip] for clip in common], np.float64) - [best[clip] for clip in common]


def permutation_p_values(differences: NDArray[np.float64], seed: int = SEED) -> NDArray[np.float64]:
    """Two-sided bootstrap p of a mean of zero, [k] for [k, n] differences over n >= 2 clips."""
    clips = differences.shape[1]
    means = differences.mean(axis=1)
    centred = (differences - means[:, None]) * np.sqrt(clips / (clips - 1))
    generator = np.random.default_rng(seed)
    farther = np.ones(len(differences))
    bound = np.abs(means) * (1 - ROUNDING)
    for _ in range(RESAMPLES // BLOCK):
        draws = generator.integers(clips, size=(BLOCK, clips)) + clips * np.arange(BLOCK)[:, None]
        counts = np.bincount(draws.ravel(), minlength=BLOCK * clips).reshape(BLOCK, clips)
        farther += (np.abs(centred @ counts.T) / clips >= bound[:, None]).sum(axis=1)
    return farther / (RESAMPLES + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction of p values that are tested together, in their order."""
    adjusted, highest = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted
