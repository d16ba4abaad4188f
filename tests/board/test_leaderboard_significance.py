from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from dubbench.board.entries import collect
from dubbench.board.ranking import grouped
from dubbench.board.significance import MINIMUM, compare, holm, permutation_p_values
from dubbench.results.rows import RESAMPLES, Pooled
from tests.boards import results

CLIPS = [f"c{place}" for place in range(60)]


def named(values: list[float]) -> dict[str, float]:
    return dict(zip(CLIPS, values, strict=False))


@pytest.mark.parametrize("shift", [0.2, 0.6, 1.1])
def test_p_is_that_of_all_resamples(shift: float) -> None:
    """Six differences have 6^6 resamples: all of them give p exactly, 2000 of them within five deviations."""
    differences = np.array([0.9, -1.2, 0.3, 0.0, 1.7, -0.5]) + shift
    centred = (differences - differences.mean()) * np.sqrt(6 / 5)
    means = [sum(draw) / 6 for draw in product(centred.tolist(), repeat=6)]
    exact = float(np.mean(np.abs(means) >= abs(differences.mean()) - 1e-12))
    assert permutation_p_values(differences[None])[0] == pytest.approx(
        exact, abs=5 * np.sqrt(exact * (1 - exact) / RESAMPLES) + 1e-3
    )


def test_p_agrees_with_the_paired_t_test_on_many_clips() -> None:
    generator = np.random.default_rng(3)
    for shift in (0.0, 0.1, 0.25, 0.4):
        best, other = generator.normal(30, 2, 60), generator.normal(0, 1, 60)
        other += best - shift
        (found,) = compare(named(best.tolist()), [named(other.tolist())])
        assert found.p == pytest.approx(stats.ttest_rel(other, best).pvalue, abs=0.03)
        assert found.difference == pytest.approx(float(np.mean(other - best)))


def test_equal_methods_are_told_apart_as_rarely_as_the_level_says() -> None:
    differences = np.random.default_rng(5).normal(size=(2000, 25))
    assert (permutation_p_values(differences) < 0.05).mean() == pytest.approx(0.05, abs=0.025)


def test_only_clips_that_both_have_are_compared() -> None:
    best = named([float(place) for place in range(20)])
    other = {clip: value + 1 for clip, value in list(best.items())[5:]} | {"elsewhere": 1e9}
    (found,) = compare(best, [other])
    assert (found.clips, found.difference) == (15, 1.0)
    assert found.p == pytest.approx(1 / (RESAMPLES + 1))
    assert not found.alike


def test_equal_values_are_alike_and_too_few_clips_are_no_test() -> None:
    best = named([float(place) for place in range(20)])
    few = {clip: 0.0 for clip in CLIPS[: MINIMUM - 1]}
    endless = {clip: float("inf") for clip in CLIPS[:20]}
    same, rare, infinite, none = compare(best, [dict(best), few, endless, {}])
    assert (same.p, same.alike) == (1.0, True)
    assert (rare.clips, rare.note, rare.alike) == (5, "only 5 common clips", False)
    assert (infinite.note, infinite.alike) == ("infinite values", False)
    assert none.clips == 0
    assert np.isnan([rare.p, infinite.p, none.p, none.difference]).all()


def test_resampling_is_seeded() -> None:
    differences = np.random.default_rng(1).normal(0.3, 1, (3, 30))
    np.testing.assert_array_equal(permutation_p_values(differences, 4), permutation_p_values(differences, 4))
    assert (permutation_p_values(differences, 4) != permutation_p_values(differences, 5)).any()


def test_holm_as_in_his_paper() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_group_is_tested_against_its_best_and_pooled_metrics_are_not(tmp_path: Path) -> None:
    base, noise = np.linspace(28, 32, 20), np.tile([0.3, -0.3], 10)
    scores = {
        "ground_truth": {"psnr": np.full(20, np.inf), "lmd": np.zeros(20)},
        "far": {"psnr": base - 3 + noise, "lmd": np.full(20, 2.0)},
        "best": {"psnr": base, "lmd": np.full(20, 1.0)},
        "near": {"psnr": base - 0.01 + noise, "lmd": np.full(20, 3.0)},
    }
    pooled = {name: Pooled({"fid": 9.0 + place}, {}, 1500) for place, name in enumerate(scores)}
    (group,) = grouped(collect([results(tmp_path / "run", scores, pooled=pooled)]))
    psnr, lmd, fid = (group.standings[metric] for metric in ("psnr", "lmd", "fid"))
    assert group.names == ["ground_truth", "best", "far", "near"]
    assert psnr.ranks == {1: 1, 3: 2, 2: 3}
    assert [(place, test.alike) for place, test in psnr.comparisons.items()] == [(3, True), (2, False)]
    assert lmd.ranks == {1: 1, 2: 2, 3: 3}
    assert {place: test.difference for place, test in lmd.comparisons.items()} == {2: 1.0, 3: 2.0}
    assert fid.ranks == {2: 1, 1: 2, 3: 3}
    assert not fid.comparisons
    assert all(group.standings[metric].comparisons.keys().isdisjoint({0}) for metric in group.metrics)


def test_rows_scored_by_other_networks_are_not_ranked(tmp_path: Path) -> None:
    scores = {"sync_similarity": np.linspace(0.4, 0.6, 8), "lmd": np.linspace(1, 2, 8)}
    places = []
    for name, network in (("a", "11"), ("b", "22")):
        run = {"networks": {"sync_expert": {"checkpoint": "last.ckpt", "sha256": network}}}
        places.append(results(tmp_path / name, {name: scores}, run))
    (group,) = grouped(collect(places))
    assert group.standings["sync_similarity"].ranks == {}
    assert "different networks" in group.standings["sync_similarity"].note
    assert group.standings["lmd"].ranks == {0: 1, 1: 1}
