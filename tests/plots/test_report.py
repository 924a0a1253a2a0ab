"""Figures of the report: what they draw of committed rows, of verdicts of every kind, and of nothing yet."""

import numpy as np
import pandas as pd
import pytest
from helpers.paper_runs import kept
from matplotlib.figure import Figure

from robustdl_lib.plots import report
from robustdl_lib.registry import FIGURES
from robustdl_lib.report import comparison, verdicts


def lines_of(chart: Figure, gid: str) -> list[np.ndarray]:
    return [np.asarray(line.get_xydata()) for ax in chart.axes for line in ax.lines if line.get_gid() == gid]


def words_of(chart: Figure) -> str:
    texts = [text.get_text() for ax in chart.axes for text in ax.texts]
    return " ".join(
        [*texts, *(text.get_text() for ax in chart.axes if ax.get_legend() for text in ax.get_legend().texts)]
    )


def test_an_order_is_drawn_method_by_method_from_published_to_ours() -> None:
    rows = report.compared_rows()
    chart = FIGURES["published_against_ours"](rows)
    weighting = rows[rows["panel"] == "Example weighting"].set_index("spec")
    assert set(weighting.index) == {"cce", "gce", "mae", "mse", "dm"}
    assert weighting.loc["dm", "published"] == 83.8
    [dm], [cce] = lines_of(chart, "Example weighting/dm"), lines_of(chart, "Example weighting/cce")
    assert dm[:, 1].tolist() == [1.0, 1.0]
    assert cce[0, 1] == 0.0
    assert f"{weighting.loc['dm', 'ours']:.1f}" in words_of(chart)


def test_numbers_without_a_run_are_ticks_and_said_in_words() -> None:
    rows = report.compared_rows()
    chart = FIGURES["published_against_ours"](rows.assign(ours=rows["ours"].where(rows["panel"] != "numbers")))
    numbers = rows[rows["panel"] == "numbers"]
    assert f"0 of {len(numbers)} published numbers" in words_of(chart)
    assert len(lines_of(chart, "numbers/open")[0]) == len(numbers)


def test_numbers_with_a_run_are_points_of_their_verdicts_colour() -> None:
    rows = report.compared_rows()
    where = rows.index[rows["panel"] == "numbers"][:3]
    rows.loc[where, "ours"] = rows.loc[where, "published"] + [1.0, 2.0, 9.0]
    rows.loc[where, "verdict"] = [verdicts.INSIDE, verdicts.INSIDE, verdicts.OUTSIDE]
    chart = FIGURES["published_against_ours"](rows)
    assert [len(lines_of(chart, f"numbers/{kind}")[0]) for kind in ("good", "bad")] == [2, 1]
    assert "outside tolerance: 1" in words_of(chart)
    assert "no run yet:\n" not in words_of(chart)


def test_a_claim_is_a_point_with_its_spread_in_the_colour_of_its_verdict() -> None:
    found = [(verdicts.HOLDS, "good"), (verdicts.FAILS, "bad"), (verdicts.UNSURE, "unsure"), (verdicts.NO_RUN, "open")]
    frame = {"group": "A", "claim": [word for word, _ in found], "published": [1.0, np.nan, 2.0, 3.0]}
    frame |= {"measured": [5.0, -5.0, 0.5, np.nan], "asked": [2.0, 0.0, 0.0, 0.0], "tolerance": [1.0, 1, 1, np.nan]}
    chart = FIGURES["claims_tested"](pd.DataFrame(frame | {"seeds": 3, "verdict": [word for word, _ in found]}))
    for (word, kind), value in zip(found, (5.0, -5.0, 0.5, np.nan), strict=True):
        [line] = [line for line in chart.axes[0].lines if line.get_gid() == f"claim/{word}"]
        assert line.get_color() == report.COLORS[kind]
        assert np.array_equal(line.get_xdata(), [value], equal_nan=True)
    assert "does not hold: 1" in words_of(chart)


def test_a_claim_has_a_row_each_and_says_what_it_asks_for() -> None:
    rows = report.tested_rows().set_index("claim")
    assert rows.loc["CCE ends well below its best epoch", "asked"] == pytest.approx(5.0)
    assert len(rows) == 56


def test_another_network_is_in_no_panel() -> None:
    rows = report.compared_rows()
    assert not rows["label"].str.startswith("elr").any()
    assert comparison.HOMES == ("paper", "paper-short")


def test_the_papers_claims_are_drawn_with_what_was_published_and_no_run_where_there_is_none() -> None:
    rows = report.papers_tested_rows("runs")
    assert set(rows["verdict"]) == {verdicts.NO_RUN}
    assert rows["measured"].isna().all()
    assert rows["claim"].str.endswith((", CIFAR-10", ", CIFAR-100")).all()
    assert rows.loc[rows["claim"] == "DM ends above GCE, CIFAR-10", "published"].item() == pytest.approx(3.1)
    assert f"no run yet: {len(rows)}" in words_of(FIGURES["claims_in_the_papers_setting"](rows))


def test_a_short_run_tests_a_claim_where_no_whole_one_does_and_is_named() -> None:
    for seed in range(2):
        for method, last in (("cce", 0.6), ("mse", 0.7)):
            kept(last, method=method, home="paper-short", seed=seed, noise_seed=seed)
    rows = report.papers_tested_rows().set_index("claim")
    row = rows.loc["MSE ends above CCE, CIFAR-10 (paper-short)"]
    assert (row["measured"], row["seeds"], row["verdict"]) == (pytest.approx(10.0), 2, verdicts.HOLDS)
    for method, last in (("cce", 0.6), ("mse", 0.5)):
        kept(last, method=method)
    assert report.papers_tested_rows().set_index("claim").loc["MSE ends above CCE, CIFAR-10", "seeds"] == 1
