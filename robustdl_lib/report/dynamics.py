"""Training dynamics of modified targets: rows next to the published end of training, trust, and certainty.

Accuracies, shares and entropies in run rows are fractions; the tables made here are in per cent.
"""

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from robustdl_lib.methods.targets import global_trust
from robustdl_lib.registry import METHODS
from robustdl_lib.report import published as numbers
from robustdl_lib.report.summary import final_readings

TALK = ("cce", "ls", "cp", "boot_soft", "proselflc")
"""The methods of the talk's slides 36 to 38, in the order of their legends."""
MEASURED = ("clean_acc", "fit_wrong", "corrected", "test_acc", "entropy_clean", "entropy_wrong")
"""What slides 36 to 38 show, two panels a slide, as columns of run rows."""
FIGURE = "proselflc_figure_3"
"""The published table with the end of training on CIFAR-100, read off ProSelfLC's Figure 3."""


def published() -> pd.DataFrame:
    """Return the published end of training in per cent: a row a method's name, a column of :data:`MEASURED`.

    CIFAR-100, ResNet-44, asymmetric noise of rate 0.4. Source: ProSelfLC (arXiv 2005.03788), Figure 3.
    """
    rows = numbers.read()
    table = rows[rows["table"] == FIGURE].pivot(index="method", columns="quantity", values="value")
    chosen = table.rename(columns={"last": "test_acc"}).loc[list(TALK), list(MEASURED)]
    return (100 * chosen).round(6).rename_axis(index=None, columns=None)


def of_the_talk(specs: Iterable[str]) -> list[str]:
    """Return those specs whose method stands on slides 36 to 38, in the slides' order, each once."""
    known = [spec for spec in dict.fromkeys(specs) if METHODS.parse(spec).name in TALK]
    return sorted(known, key=lambda spec: TALK.index(METHODS.parse(spec).name))


def side_by_side(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the last epoch here, mean over seeds, beside the published one: columns (here or published, measured).

    rows: run rows of one noise -> a row a spec of the talk's five; the test accuracy is ``test_acc`` in both.
    """
    readings = final_readings(rows).rename(columns={"last": "test_acc"})
    here = readings.groupby("method")[list(MEASURED)].mean()
    specs = of_the_talk(here.index)
    theirs = published().loc[[METHODS.parse(spec).name for spec in specs]].set_axis(specs)
    return pd.concat({"here": here.loc[specs], "published": theirs}, axis=1)


def told(side: pd.DataFrame) -> str:
    """Return a table of :func:`side_by_side` as text, what is measured above what was published, and :func:`orders`."""
    flat = side.swaplevel(axis=1).sort_index(axis=1, level=0, sort_remaining=True)[list(MEASURED)]
    table = flat.rename(index=lambda spec: METHODS.parse(spec).entry.label).round(1).T.to_string()
    return f"{table}\n\nrank correlation with the published order, over methods\n{orders(side).round(1).to_string()}"


def orders(side: pd.DataFrame) -> pd.Series:
    """Return Spearman's rank correlation over the methods between here and published, by what is measured.

    It is NaN for fewer than three methods, and where a column is not defined here.
    """
    if len(side) < 3:
        return pd.Series(math.nan, index=list(MEASURED))
    ranked = side.rank()
    found = {name: ranked["here", name].corr(ranked["published", name]) for name in MEASURED if _full(side, name)}
    return pd.Series(found).reindex(list(MEASURED))


def trust_story(rows: pd.DataFrame, spec: str) -> pd.DataFrame:
    """Return the trust of ProSelfLC on clean and on wrong labels in time, with what became of the wrong ones.

    l is linear in the entropy, so the mean trust over a subset is g(t) (1 - its mean normalised entropy): no more
    than the rows is needed at T = 1. rows: run rows of one noise -> columns g, trust_clean, trust_wrong (shares),
    fit_wrong, corrected (per cent), indexed by progress, mean over seeds. Source: Talk, eq. 6.
    """
    values = METHODS.parse(spec).values
    mean = rows[rows["method"] == spec].groupby("progress").mean(numeric_only=True)
    story = pd.DataFrame({"g": [global_trust(float(t), B=values["B"]) for t in mean.index]}, index=mean.index)
    for subset in ("clean", "wrong"):
        story[f"trust_{subset}"] = story["g"] * (1 - mean[f"entropy_{subset}"])
    return story.assign(**{name: 100 * mean[name] for name in ("fit_wrong", "corrected")})


def memorised_by(rows: pd.DataFrame, spec: str, times: Sequence[float] = (0.25, 0.5, 0.75)) -> pd.Series:
    """Return which share of the wrong labels that a method fits in the end it fits already at each progress t/T.

    In per cent, mean over seeds first; NaN where no label is wrong.
    """
    line = rows[rows["method"] == spec].groupby("progress")["fit_wrong"].mean()
    at = {t: 100 * line[line.index <= t + 1e-9].iloc[-1] / line.iloc[-1] for t in times if t >= line.index[0]}
    return pd.Series(at, dtype=float)


def sure_and_right(rows: pd.DataFrame) -> pd.DataFrame:
    """Return how sure the network is and how often it is right, by method, subset and progress, mean over seeds.

    sure is 1 - H(p) / log C, right the share of the subset that is predicted as its true class, both in per cent.
    rows: run rows of one noise -> columns method, subset (clean, wrong), progress, sure, right.
    """
    mean = rows.groupby(["method", "progress"], sort=False)[list(MEASURED)].mean()
    parts = []
    for subset, right in (("clean", "clean_acc"), ("wrong", "corrected")):
        part = pd.DataFrame({"sure": 100 * (1 - mean[f"entropy_{subset}"]), "right": 100 * mean[right]})
        parts.append(part.reset_index().assign(subset=subset))
    return pd.concat(parts, ignore_index=True)[["method", "subset", "progress", "sure", "right"]]


def believed(histograms: pd.DataFrame, above: float = 0.9) -> pd.DataFrame:
    """Return how many given labels the network believes in the end, and which share of those is wrong.

    histograms: rows of ``Run.p_y_frame`` of one noise; a label is believed whose p_y lies in a bin above ``above``.
    Columns believed and wrong_among (per cent; NaN where none is believed) and wrong_in_all, indexed by method, over
    all seeds together.
    """
    last = histograms[histograms["epoch"] == histograms.groupby("run_id")["epoch"].transform("max")]
    sure = last[last["p"] > above].groupby(["method", "subset"])["count"].sum().unstack("subset")
    whole = last.groupby(["method", "subset"])["count"].sum().unstack("subset").reindex(sure.index)
    return pd.DataFrame(
        {
            "believed": 100 * sure.sum(axis=1) / whole.sum(axis=1),
            "wrong_among": 100 * sure["wrong"] / sure.sum(axis=1).where(lambda total: total > 0),
            "wrong_in_all": 100 * whole["wrong"] / whole.sum(axis=1),
        }
    )


def _full(side: pd.DataFrame, name: str) -> bool:
    return bool(side["here", name].notna().all())
