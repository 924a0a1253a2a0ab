"""The figure of noise rates: published numbers hollow, ours beside them where rows exist, and never more than that."""

import pandas as pd
import pytest
from helpers.paper_runs import CIFAR100, kept

from robustdl_lib.plots import accuracy_by_rate
from robustdl_lib.registry import FIGURES
from robustdl_lib.report import published


def ours(panel: str, method: str) -> pd.DataFrame:
    rows = accuracy_by_rate.rate_rows()
    return rows[(rows["who"] == "ours") & (rows["panel"] == panel) & (rows["method"] == method)].set_index("rate")


def test_without_rows_the_published_numbers_stand_alone_and_the_figure_says_so() -> None:
    rows = accuracy_by_rate.published_rows()
    cce = rows[(rows["panel"] == "weighting") & (rows["method"] == "cce")].set_index("rate")["value"]
    assert cce.to_dict() == {0.0: 92.4, 0.2: 76.8, 0.4: 60.9, 0.6: 37.2, 0.8: 16.1}
    dm = rows[(rows["panel"] == "weighting") & (rows["method"] == "dm")].set_index("rate")["value"]
    assert dm.to_dict() == {0.2: 87.8, 0.4: 83.3, 0.6: 72.5, 0.8: 32.8}
    assert rows.loc[rows["panel"] == "mode", "value"].round(2).tolist() == [0.0, 0.33, 0.5, 0.67, 0.67]
    chart = FIGURES["accuracy_by_rate"](rows)
    assert all("ours: no run yet" in [text.get_text() for text in ax.get_legend().get_texts()] for ax in chart.axes)


@pytest.mark.parametrize("panel", ["modification", "pairs"])
def test_every_method_of_proselflcs_tables_has_its_line(panel: str) -> None:
    rows = accuracy_by_rate.published_rows()
    rows = rows[rows["panel"] == panel]
    assert set(rows["method"]) == set(accuracy_by_rate.PANELS[panel][2])
    value = published.value("proselflc_tables_4_5/asymmetric_pairs-0.4/cp/last")
    found = rows[(rows["method"] == "cp") & (rows["rate"] == 0.4)]["value"].item()
    assert (found == value) == (panel == "pairs")


def test_our_rows_stand_beside_them_with_their_spread() -> None:
    for seed, last in enumerate((0.60, 0.62, 0.64)):
        kept(last, seed=seed, noise_seed=seed)
    row = ours("weighting", "cce").loc[0.4]
    assert (row["value"], row["spread"], row["seeds"]) == (pytest.approx(62.0), pytest.approx(2.0), 3)
    drawn = FIGURES["accuracy_by_rate"](accuracy_by_rate.rate_rows())
    words = [text.get_text() for text in drawn.axes[0].get_legend().get_texts()]
    assert words == ["published", "ours, sd over seeds"]


def test_dm_is_its_best_mode_and_the_mode_is_told() -> None:
    for lam, last in ((0.5, 0.80), (1.0, 0.83), (2.0, 0.60)):
        kept(last, method=f"dm:beta=12,lam={lam}")
    assert ours("weighting", "dm").loc[0.4, "value"] == pytest.approx(83.0)
    assert ours("mode", "dm").loc[0.4, "value"] == pytest.approx(0.5)


def test_a_short_run_gives_way_to_a_whole_one_and_is_named_where_it_stands_alone() -> None:
    kept(0.55, home="paper-short")
    assert ours("weighting", "cce").loc[0.4, "profile"] == "paper-short"
    words = [
        t.get_text() for t in FIGURES["accuracy_by_rate"](accuracy_by_rate.rate_rows()).axes[0].get_legend().get_texts()
    ]
    assert words[1] == "ours, sd over seeds, paper-short"
    kept(0.61)
    assert ours("weighting", "cce").loc[0.4, "value"] == pytest.approx(61.0)


def test_each_point_says_which_profile_it_is_of() -> None:
    kept(0.55, home="paper-short", noise="symmetric:0.2")
    kept(0.61)
    chart = FIGURES["accuracy_by_rate"](accuracy_by_rate.rate_rows())
    words = [text.get_text() for text in chart.axes[0].get_legend().get_texts()]
    assert words == ["published", "ours, sd over seeds", "ours, sd over seeds, paper-short"]
    marks = {mark: accuracy_by_rate.MARKS[home] for mark, home in ((0.4, "paper"), (0.2, "paper-short"))}
    filled = [
        line for line in chart.axes[0].lines if line.get_marker() in "os" and line.get_markerfacecolor() != "white"
    ]
    assert {float(line.get_xdata()[0]): line.get_marker() for line in filled} == marks


@pytest.mark.parametrize(
    "other",
    [
        {"lr": 0.01},
        {"method": "proselflc:T=0.5"},
        {**CIFAR100, "method": "proselflc:B=8,detach=True"},
    ],
)
def test_other_protocols_and_parts_of_a_method_are_left_out(other: dict[str, object]) -> None:
    kept(0.61, **other)  # type: ignore[arg-type]
    rows = accuracy_by_rate.rate_rows()
    assert "ours" not in set(rows["who"])
