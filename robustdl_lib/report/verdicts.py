"""From a measured number and its spread over seeds to a verdict, in one word for the eye and in words for the reader.

Seeds are few, so a spread is that of Student's t: what chance could do to the mean of n seeds at the level of 95 %.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

HOLDS, FAILS, UNSURE, LONE = "holds", "does not hold", "within the spread", "one seed"
INSIDE, OUTSIDE = "within tolerance", "outside tolerance"
NO_RUN, OTHER, NONE = "no run yet", "not comparable", "-"
GOOD, BAD, OPEN = (HOLDS, INSIDE), (FAILS, OUTSIDE), (UNSURE, LONE, NO_RUN, OTHER)
LEVEL = 0.95
REPEATS = 3.0
"""Points by which the papers' own repeats of one setting differ (60.9, 61.7, 63.3: 2.4), rounded up."""


def half_width(values: Sequence[float]) -> float:
    """Return by how much chance may move the mean of these seeds to one side: t_{.95, n-1} s / sqrt(n).

    values: one number a seed -> points; NaN for one seed, which says nothing of its spread.
    """
    if len(values) < 2:
        return math.nan
    return float(_student(LEVEL, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))


def of_claim(values: Sequence[float], least: float = 0.0) -> str:
    """Say whether a quantity is more than ``least``: by more than its spread, by less, or not at all.

    values: one number a seed. More than the :func:`half_width` above ``least`` holds, more than that below does not
    hold, between is within the spread; one seed is only called so, and none is no run yet.
    """
    if len(values) < 2:
        return LONE if len(values) else NO_RUN
    clear, width = float(np.mean(values)) - least, half_width(values)
    return HOLDS if clear > width else FAILS if clear < -width else UNSURE


def of_several(columns: Sequence[Sequence[float]]) -> str:
    """Return the verdict of one claim against several methods: it holds against each, or does not against one.

    columns: a list of numbers, one a seed, for each method; without any there is no run yet.
    """
    answers = [of_claim(values) for values in columns] or [NO_RUN]
    if FAILS in answers:
        return FAILS
    return answers[0] if len(set(answers)) == 1 else UNSURE


def of_number(difference: float, tolerance: float) -> str:
    """Say whether a difference lies within its tolerance; no run yet where there is none, one seed without one."""
    if math.isnan(difference):
        return NO_RUN
    if math.isnan(tolerance):
        return LONE
    return INSIDE if abs(difference) <= tolerance + 1e-9 else OUTSIDE


def between(std: float, seeds: int, other_std: float, other_seeds: int) -> float:
    """Return how far the means of two sets of seeds may lie apart by chance, from the spread of both.

    t_{.975, n+m-2} s sqrt(1/n + 1/m) with the pooled standard deviation s: of twenty such differences one is larger
    by chance. A standard deviation (n - 1) may be NaN where there is one seed; NaN without three seeds together.
    """
    freedom = seeds + other_seeds - 2
    if not seeds or not other_seeds or freedom < 1:
        return math.nan
    squares = sum((n - 1) * s * s for n, s in ((seeds, std), (other_seeds, other_std)) if n > 1)
    width = math.sqrt(squares / freedom * (1 / seeds + 1 / other_seeds))
    return float(_student((1 + LEVEL) / 2, freedom) * width)


def of_published(values: Sequence[float], scale: float = 1.0) -> float:
    """Return the tolerance of a published number: 3 points, or what chance does to the mean of our seeds if more.

    values: ours, one a seed, in the published unit, of which ``scale`` make a per cent.
    """
    width = half_width(values)
    return max(REPEATS * scale, 0.0 if math.isnan(width) else width)


def kind(verdict: str) -> str:
    """Return how a verdict looks: good, bad, unsure (within the spread, one seed), else open."""
    looks = {"good": GOOD, "bad": BAD, "unsure": (UNSURE, LONE)}
    return next((look for look, words in looks.items() if verdict in words), "open")


def counted(found: Iterable[str]) -> str:
    """Return how many lines have which verdict, in words: good ones, bad, open.

    found: a verdict a line, :data:`NONE` being no verdict; the word none where there is no other.
    """
    counts = Counter(found)
    known = (verdict for verdict in (*GOOD, *BAD, *OPEN) if counts[verdict])
    return ", ".join(f"{counts[verdict]} {said(verdict, counts[verdict])}" for verdict in known) or "none"


def said(verdict: str, count: int) -> str:
    """Return a verdict as it follows a number: 1 holds, 2 hold."""
    return {HOLDS: "hold", FAILS: "do not hold"}.get(verdict, verdict) if count != 1 else verdict


def _student(level: float, freedom: int) -> float:
    """Return the quantile of Student's t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, level))
