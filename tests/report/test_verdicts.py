"""Verdicts: each of them is reached, the spread is that of Student's t, and what was not run is no pass."""

import math

import numpy as np
import pytest

from robustdl_lib.report import verdicts


@pytest.mark.parametrize(
    ("values", "least", "verdict"),
    [
        ([10.0, 11.0, 12.0], 0.0, verdicts.HOLDS),
        ([10.0, 11.0, 12.0], 10.5, verdicts.UNSURE),
        ([10.0, 11.0, 12.0], 20.0, verdicts.FAILS),
        ([-10.0, -11.0, -12.0], 0.0, verdicts.FAILS),
        ([-20.0, 0.0, 30.0], 0.0, verdicts.UNSURE),
        ([10.0], 0.0, verdicts.LONE),
        ([-10.0], 0.0, verdicts.LONE),
        ([], 0.0, verdicts.NO_RUN),
        ([3.0, 3.0, 3.0], 3.0, verdicts.UNSURE),
    ],
)
def test_a_claim_has_one_of_five_verdicts(values: list[float], least: float, verdict: str) -> None:
    assert verdicts.of_claim(values, least) == verdict


def test_the_spread_of_three_seeds_is_that_of_the_table_of_t() -> None:
    assert verdicts.half_width([1.0, 2.0, 3.0]) == pytest.approx(2.9200 / math.sqrt(3), rel=1e-4)
    assert math.isnan(verdicts.half_width([1.0]))


def test_a_number_is_inside_outside_not_run_or_alone() -> None:
    assert verdicts.of_number(3.0, 3.0) == verdicts.INSIDE
    assert verdicts.of_number(-3.1, 3.0) == verdicts.OUTSIDE
    assert verdicts.of_number(math.nan, 3.0) == verdicts.NO_RUN
    assert verdicts.of_number(0.0, math.nan) == verdicts.LONE


def test_two_machines_differ_by_chance_as_welch_and_student_say() -> None:
    width = verdicts.between(1.0, 3, 1.0, 3)
    assert width == pytest.approx(2.7764 * math.sqrt(2 / 3), rel=1e-4)
    assert verdicts.between(2.0, 3, 2.0, 3) == pytest.approx(2 * width)
    assert verdicts.between(1.0, 3, math.nan, 1) == pytest.approx(4.3027 * math.sqrt(4 / 3), rel=1e-4)
    assert all(math.isnan(verdicts.between(math.nan, 1, math.nan, n)) for n in (0, 1))


def test_of_twenty_equal_machines_about_one_is_called_apart() -> None:
    """The tolerance is what it says: simulated, 2.5 to 8 % of equal means lie further apart."""
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(2000, 2, 3))
    means, stds = draws.mean(axis=2), draws.std(axis=2, ddof=1)
    apart = [abs(m[0] - m[1]) > verdicts.between(s[0], 3, s[1], 3) for m, s in zip(means, stds, strict=True)]
    assert 0.025 < np.mean(apart) < 0.08


def test_a_published_number_is_allowed_three_points_or_the_spread() -> None:
    assert verdicts.of_published([60.0, 60.1, 60.2]) == 3.0
    assert verdicts.of_published([60.0]) == 3.0
    assert verdicts.of_published([40.0, 60.0, 80.0]) > 30
    assert verdicts.of_published([0.60, 0.601], scale=0.01) == pytest.approx(0.03)


def test_counts_are_in_words_and_what_is_red_is_among_them() -> None:
    found = [verdicts.HOLDS, verdicts.HOLDS, verdicts.FAILS, verdicts.NO_RUN, verdicts.NONE]
    assert verdicts.counted(found) == "2 hold, 1 does not hold, 1 no run yet"
    assert verdicts.counted([verdicts.HOLDS, verdicts.OUTSIDE]) == "1 holds, 1 outside tolerance"
    assert verdicts.counted([]) == "none"


def test_a_verdict_looks_as_it_counts() -> None:
    looks = {word: verdicts.kind(word) for word in (*verdicts.GOOD, *verdicts.BAD, *verdicts.OPEN)}
    assert {word for word, look in looks.items() if look == "good"} == set(verdicts.GOOD)
    assert {word for word, look in looks.items() if look == "bad"} == set(verdicts.BAD)
    assert {word for word, look in looks.items() if look == "unsure"} == {verdicts.UNSURE, verdicts.LONE}


def test_no_verdict_is_both_good_and_bad_and_no_run_is_neither() -> None:
    groups = [set(verdicts.GOOD), set(verdicts.BAD), set(verdicts.OPEN)]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 8
    assert {verdicts.NO_RUN, verdicts.OTHER} <= groups[2]
